"""What of earlier jobs goes, and when? Parts and hidden statistics that nobody will go on with."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from ..models import SAE, Checkpoint, Job, KeptActivations, Statistics
from ..storage.holdings import on_disk, registry, row_sizes
from ..storage.holdings.rows import why_not_free
from ..storage.write import remove_leftovers, remove_set
from . import estimate, plan

OF_CHECKPOINT = "checkpoint-"  # begins the name of what is read of a checkpoint of a run
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


# What computations have made, to be seen and removed


def _shards():
    for item in on_disk.folders(Path(settings.SAEVIZ_SHARDS), "files between parts of a job in"):
        job = _job_of(item.key)
        yield replace(item, of=str(job) if job else _of_nobody(item.key), used=job and (job.heartbeat or job.finished))


def _of_nobody(key: str) -> str:
    return "the reading of a checkpoint" if key.startswith(OF_CHECKPOINT) else "no job: left behind"


def _job_of(key: str) -> Job | None:
    number = key.split("-")[0]
    return Job.objects.select_related("sae").filter(pk=number).first() if number.isdecimal() else None


def _why_not_shards(key):
    if key.startswith(OF_CHECKPOINT):
        return registry.at_work(Checkpoint.objects.filter(state=Checkpoint.State.RUNNING))
    job = _job_of(key)
    return registry.at_work(Job.objects.filter(pk=job.pk)) if job else ""


def _remove_shards(key):
    if job := _job_of(key):
        plan.forget(job)
    if (Path(settings.SAEVIZ_SHARDS) / key).exists():
        on_disk.remove(Path(settings.SAEVIZ_SHARDS), key)


def _statistics():
    for row in Statistics.objects.select_related("sae", "corpus"):
        shown = row.sae.statistics_id == row.pk
        yield registry.HeldItem(
            str(row.pk),
            f"{row}, {'shown' if shown else 'not shown'}{', quick results' if row.quick else ''}",
            lambda row=row: registry.Measured(row_sizes.of_statistics(row)),
            of=row.sae.name,
            url=row.sae.get_absolute_url(),
            made=row.completed,
            loses="" if shown else "No page shows them.",
            again=lambda row=row: f"Compute all features again: {estimate.time(row.sae, row.tokens)}.",
        )


def _why_not_statistics(key):
    row = Statistics.objects.select_related("sae").get(pk=key)
    kept = KeptActivations.objects.filter(statistics=row).exclude(folder="").first()
    return registry.at_work(row.sae.jobs, row.sae.verifications) or (kept and why_not_free(kept)) or ""


def _remove_statistics(key):
    SAE.objects.filter(statistics=key).update(statistics=None)
    remove_set(int(key))


registry.register(
    registry.Holding(
        "statistics",
        "Statistics",
        "All that pages show of the features, kept activations and analyses with it. Labels, claims, findings and "
        "gradings stay: they are kept under the weights.",
        "Compute all features again.",
        _statistics,
        _remove_statistics,
        _why_not_statistics,
    )
)
registry.register(
    registry.Holding(
        "shards",
        "Files between the parts of jobs",
        "What a job that ended early has done: tried again, it begins anew.",
        "The job makes them again when it is tried again.",
        _shards,
        _remove_shards,
        _why_not_shards,
    )
)
