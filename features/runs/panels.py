"""Of which checkpoints can features be read? First, last, starred and every tenth keep panels; others give way."""

import logging
from pathlib import Path

from django.db.models import F, Q

from ..jobs import requests
from ..jobs.lifecycle import Unfinished
from ..messages import BadRequest
from ..models import SAE, Checkpoint, Job, Run, Watch
from ..models.runs import OF_RUNS
from ..storage.write import remove_leftovers
from .intake.discovery import run_folder

WITH = ("sae__statistics", "sae__corpus", "run__rows")
log = logging.getLogger(__name__)


def kept(run: Run) -> list[Checkpoint]:
    """Those that keep theirs, in order of training."""
    return [each for each in chosen(run, expected(run)) if each.state == Checkpoint.State.DONE]


def keeps(checkpoint: Checkpoint) -> bool:
    """Whether one that is being read will."""
    return checkpoint.pk in {each.pk for each in chosen(checkpoint.run, expected(checkpoint.run))}


def expected(run: Run) -> list[Checkpoint]:
    """Its checkpoints that are done, and those of its folder that are being read or wait to be: which is first, last
    and every so manieth does not change with each of them. In order of training, as far as names say it."""
    waiting = Q(state__in=Checkpoint.UNFINISHED) & (Q(run=run) | Q(run=None, watch=run.watch))
    found = Checkpoint.objects.filter(waiting | Q(run=run, state=Checkpoint.State.DONE), same_as=None)
    found = found.order_by(F("step").asc(nulls_last=True), "appeared", "pk")
    root = Path(run.watch.path)
    return [
        each
        for each in found.select_related(*WITH).defer("figures")
        if each.run_id or str(run_folder(Path(each.path), root)) == run.folder
    ]


def chosen(run: Run, every: list[Checkpoint]) -> list[Checkpoint]:
    """The same of all that are done, in order of training."""
    last, step = len(every) - 1, max(1, run.watch.panels_every)
    return [each for n, each in enumerate(every) if n in (0, last) or n % step == 0 or each.starred]


def settle_all(watch: Watch, without: Checkpoint | None = None) -> None:
    """Once nothing of it waits, but one that has just failed, and what was expected has come."""
    if not watch.checkpoints.unfinished().exclude(pk=without and without.pk).exists():
        for run in watch.runs.select_related("watch", "rows"):
            settle(run)


def settle(run: Run) -> None:
    """After a checkpoint has come, or a star has changed: ask for panels that are due, free those that are not."""
    keep = kept(run)
    for checkpoint in reversed(keep):  # the newest first
        request(checkpoint)
    others = SAE.objects.filter(checkpoints__run=run, corpus=run.rows)
    others = others.exclude(pk__in=[checkpoint.sae_id for checkpoint in keep]).distinct()
    # What nobody has begun for a checkpoint that was the newest need not be done any more.
    Job.objects.filter(sae__in=others, requested_how=OF_RUNS, state=Job.State.QUEUED, started=None).delete()
    for sae in others.exclude(statistics=None):
        free(sae)


def request(checkpoint: Checkpoint) -> None:
    """A computation on the run's rows, unless there is one or its panels are there."""
    sae = checkpoint.sae
    if sae is None or sae.corpus_id != checkpoint.run.rows_id or sae.jobs.unfinished().exists():
        return
    if sae.statistics and not sae.statistics.quick and sae.statistics.is_of(sae):
        return
    if sae.jobs.ended_early().exists():  # somebody stopped it, or it failed: its page says so, and tries again
        return
    try:
        requests.request_statistics(sae, tokens=sae.corpus.tokens, how=OF_RUNS, user=checkpoint.requested_by)
    except (BadRequest, Unfinished) as refusal:
        log.info("%s keeps no panels: %s", checkpoint, refusal)


def free(sae: SAE) -> None:
    """Take the panels of a checkpoint's SAE away; its records stay."""
    if sae.jobs.unfinished().exists():
        return
    SAE.objects.filter(pk=sae.pk).update(statistics=None)
    remove_leftovers(sae)


def star(checkpoint: Checkpoint, starred: bool) -> None:
    """Keep its panels, made now if they are not there; or let them go by the rule."""
    Checkpoint.objects.filter(pk=checkpoint.pk).update(starred=starred)
    settle(checkpoint.run)
