"""What can a worker be asked to do? Tasks take the number of a row and call a service."""

import logging

from celery import shared_task
from django.db import DatabaseError, connections

from . import jobs

log = logging.getLogger(__name__)


@shared_task(name=jobs.TASK)
def compute(job_id):
    from . import services

    services.run_job(job_id)


def watch():
    """One look for jobs that nobody works on. A database that is away now is asked again next time."""
    try:
        jobs.pick_up_silent_jobs()
    except DatabaseError:
        log.warning("Cannot look after jobs now", exc_info=True)
    finally:
        connections.close_all()  # the worker forks: its children must not inherit a connection
