"""What of earlier jobs goes, and when? Parts and hidden statistics that nobody will go on with."""

from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from ..messages import BadRequest
from ..models import Job
from ..storage import holdings
from ..storage.write import remove_leftovers
from . import plan

KEPT_FOR = timedelta(days=1)  # what a job that failed or was cancelled has done, to be tried again


def begin_anew(job: Job) -> None:
    """Before a computation of all features: what others like it, that ended early, have done is of no use now."""
    if job.features is None:
        for other in job.sae.jobs.filter(features__isnull=True, state__in=Job.ENDED_EARLY).exclude(inputs=""):
            plan.forget(other)
    remove_leftovers(job.sae)


def forget_long_ended() -> None:
    """What jobs that ended early have done is kept to be tried again, but not for ever."""
    long_ago = timezone.now() - KEPT_FOR
    for job in Job.objects.filter(state__in=Job.ENDED_EARLY, finished__lt=long_ago).exclude(inputs=""):
        plan.forget(job)
        remove_leftovers(job.sae)


# What lies between parts, to be seen and removed


def _items():
    return holdings.folders_below(Path(settings.SAEVIZ_SHARDS), "files between parts of a job in")


def _remove(key: str) -> None:
    job = Job.objects.filter(pk=key.split("-")[0]).first() if key.split("-")[0].isdecimal() else None
    if job and job.state in Job.UNFINISHED:
        raise BadRequest(f"Job {job.pk} goes on with them ({job.state}). Cancel it first.")
    if job:
        plan.forget(job)
    holdings.remove_below(Path(settings.SAEVIZ_SHARDS), key)


LOSES = "what a job that ended early has done; tried again, it begins anew"
holdings.register(holdings.Holding("shards", LOSES, _items, _remove))
