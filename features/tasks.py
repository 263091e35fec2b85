"""What can a worker be asked to do? Tasks take the number of a row and call a service."""

import logging

from celery import shared_task
from django.db import DatabaseError, connections

from . import computing, imports, jobs, leftovers, shares, verifying

log = logging.getLogger(__name__)


@shared_task(name=jobs.TASK)
def compute(job_id):
    """One part of it."""
    computing.run_one(job_id)


@shared_task(name=imports.TASK)
def import_sae(import_id):
    from . import gelu1l  # brings torch

    imports.run_import(import_id, gelu1l.prepare)


@shared_task(name=verifying.TASK)
def verify(sae_id):
    verifying.run_verification(sae_id)


def watch():
    """One look for jobs that nobody works on. A database that is away now is asked again next time."""
    try:
        jobs.pick_up_silent_jobs()
        leftovers.forget_long_ended()
        shares.remove_leftovers()
        imports.look_after()
    except DatabaseError:
        log.warning("Cannot look after jobs now", exc_info=True)
    finally:
        connections.close_all()  # the worker forks: its children must not inherit a connection
