"""How does a checkpoint get its figures? A worker reads its files and one pass over the run's rows: health first."""

import shutil
import tempfile
import time
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from ..engine.results import Progress
from ..models import Checkpoint
from ..storage.readers import autoencoder_of, rows_of, subject_of
from . import panels, records, warnings
from .claims import held as claims
from .intake import reading

PREFIX, LEFT_AFTER = "checkpoint-", 3600.0  # of folders, and seconds since one was written to


def run_checkpoint(lease) -> None:
    """Carry out a Checkpoint that this process has the lease of. Health is shown as soon as it is known."""
    lease.phase("reading its files")
    row = Checkpoint.objects.select_related("watch", "run").get(pk=lease.work.pk)
    checkpoint = reading.read(row, lambda step: lease.phase(step), lease.check)
    if checkpoint.same_as is None:
        _measure(lease, checkpoint)
    with transaction.atomic():
        if checkpoint.same_as:
            lease.finish()
        older = Checkpoint.objects.filter(watch=checkpoint.watch_id, path=checkpoint.path, pk__lt=checkpoint.pk)
        older.exclude(state=Checkpoint.State.RUNNING).delete()  # what was read of this path before
        if checkpoint.step is not None:  # a state with these weights was read before the step that it is
            states = checkpoint.run.checkpoints.filter(step=None, sae__checkpoint_hash=checkpoint.sae.checkpoint_hash)
            states.update(same_as=checkpoint)
    panels.settle(checkpoint.run)
    if checkpoint.same_as is None:
        checkpoint.refresh_from_db()
        warnings.tell(checkpoint)


def _measure(lease, checkpoint: Checkpoint) -> None:
    from ..engine.training import measure  # brings torch

    sae, corpus = checkpoint.sae, checkpoint.run.rows
    lease.phase("loading the model")
    subject = subject_of(sae)
    with _folder() as folder:
        read = measure.read_rows(
            subject,
            rows_of(corpus),
            folder,
            bos=corpus.bos,
            skipped=corpus.skipped,
            screen=settings.SAEVIZ_SCREEN,
            progress=lambda now: _tell(lease, now),
        )
        lease.phase("health")
        figures = measure.health_of(read)
        lease.check(figures=asdict(figures), measured=timezone.now(), phase="features")
        found = measure.records_of(read, _before(checkpoint), lambda done, total: lease.phase("features", done, total))
        tests = claims.tests_at(checkpoint, read, lease.phase)
    figures = measure.with_records(figures, found[1])
    after, cosines = _after(checkpoint, read.subject.sae)
    with transaction.atomic():
        records.store(checkpoint, *found)
        claims.store(checkpoint, tests)
        if after:
            records.store_before(after, cosines)
        lease.finish(figures=asdict(figures))


def _tell(lease, now: Progress) -> None:
    lease.phase(now.phase, now.done, now.total)


def _before(checkpoint: Checkpoint):
    """The weights of the run one checkpoint earlier; None where there is none, or its files have changed or gone."""
    before = records.beside(checkpoint)[0]
    return before and _weights(before)


def _after(checkpoint: Checkpoint, sae) -> tuple[Checkpoint | None, np.ndarray | None]:
    """The checkpoint that follows where it was read first, as newest ones are: its decoder cosines with this one."""
    from ..engine.training import measure

    after = records.beside(checkpoint)[1]
    weights = after and _weights(after)
    return (after, measure.decoder_cosines(weights, sae)) if weights else (None, None)


def _weights(checkpoint: Checkpoint):
    try:
        return autoencoder_of(checkpoint.sae)
    except (ValueError, OSError):  # deleted to save space: what was measured of it stays
        return None


@contextmanager
def _folder():
    """For active entries while they are needed."""
    root = Path(settings.SAEVIZ_SHARDS)
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=root) as name:
        yield Path(name)


def remove_leftovers() -> None:
    """Folders of workers that were killed."""
    if Checkpoint.objects.filter(state=Checkpoint.State.RUNNING).exists():
        return
    for path in Path(settings.SAEVIZ_SHARDS).glob(f"{PREFIX}*"):
        if time.time() - path.stat().st_mtime > LEFT_AFTER:
            shutil.rmtree(path, ignore_errors=True)
