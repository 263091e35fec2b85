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

from .. import messages
from ..engine.results import Cancelled, Health, Progress
from ..models import SAE, Checkpoint
from ..storage.readers import autoencoder_of, rows_of, subject_of
from . import first_pages, panels, records, warnings
from .claims import held as claims
from .intake import fixed_rows, overwritten, reading

PREFIX, LEFT_AFTER = "checkpoint-", 3600.0  # of folders, and seconds since one was written to


def run_checkpoint(lease) -> None:
    """Carry out a Checkpoint that this process has the lease of. Health is shown as soon as it is known."""
    lease.phase("reading its files")
    row = Checkpoint.objects.select_related("watch", "run").get(pk=lease.work.pk)
    if overwritten.is_superseded(row):
        row.delete()
        return
    try:
        checkpoint = _read(lease, row)
    except Exception as error:
        if not isinstance(error, Cancelled):
            warnings.tell_unread(row, messages.sentence(error))
        panels.settle_all(row.watch, without=row)  # others kept no panels for its sake
        raise
    if checkpoint is None:
        return
    panels.settle(checkpoint.run)
    panels.settle_all(checkpoint.watch)
    if checkpoint.same_as is None:
        warnings.tell(checkpoint)


def _read(lease, row: Checkpoint) -> Checkpoint | None:
    """The checkpoint, complete; None where a later state of its files was complete sooner."""
    checkpoint = reading.read(row, lambda step: lease.phase(step), lease.check)
    if checkpoint.same_as is None:
        _measure(lease, checkpoint)
    with transaction.atomic():
        if checkpoint.same_as:
            lease.finish()
        if checkpoint.step is not None:  # a state with these weights was read before the step that it is
            states = checkpoint.run.checkpoints.filter(step=None, sae__checkpoint_hash=checkpoint.sae.checkpoint_hash)
            states.update(same_as=checkpoint)
    overwritten.forget_before(checkpoint)
    return Checkpoint.objects.select_related("run__watch", "run__rows", "watch").filter(pk=checkpoint.pk).first()


def _measure(lease, checkpoint: Checkpoint) -> None:
    from ..engine.training import measure, rows_pass  # brings torch

    sae, corpus = checkpoint.sae, checkpoint.run.rows
    lease.phase("loading the model")
    subject = subject_of(sae)
    with _folder() as folder:
        look = _first_look(lease, checkpoint)
        read = rows_pass.read_rows(
            subject,
            rows_of(corpus),
            folder,
            bos=corpus.bos,
            skipped=corpus.skipped,
            screen=settings.SAEVIZ_SCREEN,
            kept=fixed_rows.kept_beside(corpus, sae),
            progress=lambda now: _tell(lease, now),
            look=look,
        )
        overwritten.refuse_changed(checkpoint)
        lease.phase("health")
        figures = measure.health_of(read)
        checkpoint.measured = checkpoint.measured or timezone.now()
        lease.check(figures=asdict(figures), measured=checkpoint.measured, phase="features")
        if first_pages.are_due(checkpoint):
            first_pages.show(lease, checkpoint, read, Health(**figures.health))
        counts, found = measure.records_of(read, progress=lambda done, total: lease.phase("features", done, total))
        tests = claims.tests_at(checkpoint, read, lease.phase)
    _check_itself(lease, checkpoint, subject)
    figures = measure.with_records(figures, found)
    before, after = records.beside(checkpoint)
    if before:
        found = _since(before, found, counts, read.subject.sae)
    later = after and _after(after, counts, read.subject.sae)
    with transaction.atomic():
        records.store(checkpoint, counts, found)
        claims.store(checkpoint, tests)
        if later is not None:
            records.store_before(after, later)
        lease.finish(figures=asdict(figures))


def _first_look(lease, checkpoint: Checkpoint):
    """Health, and pages of all features, as soon as a share of the rows is read: of a checkpoint of which nothing is
    known yet. What is known stays until all rows are read again."""
    from ..engine.training import measure, rows_pass  # brings torch

    if checkpoint.measured:
        return None

    def tell(alone, there):
        overwritten.refuse_changed(checkpoint)
        lease.phase("health")
        figures = measure.health_of(alone)
        checkpoint.measured = timezone.now()
        told = asdict(figures) | {"of_tokens": checkpoint.run.rows.tokens}
        lease.check(figures=told, measured=checkpoint.measured)
        if first_pages.are_due(checkpoint):
            first_pages.show(lease, checkpoint, there, Health(**figures.health))

    return rows_pass.FirstLook(settings.SAEVIZ_QUICK_TOKENS, tell)


def _check_itself(lease, checkpoint: Checkpoint, subject) -> None:
    """The self-check that an import makes before pages: here they do not wait for it. Once for the same weights."""
    from ..engine import self_check  # brings torch

    sae, text = checkpoint.sae, checkpoint.run.corpus
    if sae.self_check is None:
        checked = self_check.check_sae(subject, rows_of(text), progress=lease.phase, first=text.first)
        SAE.objects.filter(pk=sae.pk).update(self_check=checked.to_dict())


def _tell(lease, now: Progress) -> None:
    lease.phase(now.phase, now.done, now.total)


def _since(before: Checkpoint, found: np.ndarray, counts: np.ndarray, sae) -> np.ndarray:
    """Records with what has become of features since the checkpoint before; as they are where its files have gone."""
    weights = _weights(before)
    return found if weights is None else _compared(found, counts, sae, records.counts_of([before])[0], weights)


def _after(after: Checkpoint, counts: np.ndarray, sae) -> np.ndarray | None:
    """Records of the checkpoint that follows, where it was read first, as newest ones are."""
    weights, found = _weights(after), records.records_of(after)
    return None if weights is None else _compared(found, records.counts_of([after])[0], weights, counts, sae)


def _compared(found: np.ndarray, counts: np.ndarray, sae, counts_before: np.ndarray, before) -> np.ndarray:
    from ..engine.training import descent, measure

    cosines = measure.decoder_cosines(sae, before)
    split, merged = descent.split_and_merged(sae.W_dec, before.W_dec.to(sae.W_dec), cosines, counts, counts_before)
    return records.with_before(found, cosines, split, merged)


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
