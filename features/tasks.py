"""What can a worker be asked to do? Tasks take the number of a row and call a service."""

import logging

from celery import shared_task
from django.db import DatabaseError, connections

from .importing import job
from .jobs import artifacts, leftovers, lifecycle, verification, worker

log = logging.getLogger(__name__)


@shared_task(name=lifecycle.TASK)
def compute(job_id):
    """One part of it."""
    worker.run_one(job_id)


@shared_task(name=job.TASK)
def import_sae(import_id):
    from .gelu1l import download  # brings torch

    job.run_import(import_id, download.prepare)


@shared_task(name=verification.TASK)
def verify(sae_id):
    verification.run_verification(sae_id)


def watch():
    """One look for jobs that nobody works on. A database that is away now is asked again next time."""
    try:
        lifecycle.pick_up_silent_jobs()
        leftovers.forget_long_ended()
        artifacts.remove_leftovers()
        job.look_after()
    except DatabaseError:
        log.warning("Cannot look after jobs now", exc_info=True)
    finally:
        connections.close_all()  # the worker forks: its children must not inherit a connection
