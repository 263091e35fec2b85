"""Which rows call their weights by a hash of before? Each is given today's once, and keeps its statistics.

A checkpoint's hash once covered its configs too, or all files of its folder. Whether a row means the files at its path
takes reading them, which may be gigabytes: registration does it, and a worker when it starts; no page waits for it.
"""

import logging

from django.db import transaction
from django.db.models import Q

from ..engine.sae.reading.errors import CheckpointError
from ..engine.sae.reading.fingerprint import checkpoint_hash, configs_hash
from ..engine.sae.reading.old_hashes import old_hashes
from ..models import SAE, Job, Statistics

log = logging.getLogger(__name__)


def fingerprint(path) -> dict:
    """The two hashes that a row keeps of the files at `path`. Raises CheckpointError where there are no weights."""
    return {"checkpoint_hash": checkpoint_hash(path), "configs_hash": configs_hash(path)}


def unrecognised():
    """Rows whose hash is one of before."""
    return SAE.objects.filter(configs_hash="")


def recognise_all() -> None:
    """Every row whose files are there; the others keep their hash until the files are back.

    What a job computes with now is left for the next time: it writes the hash that it began with.
    """
    for sae in _idle():
        try:
            recognise(sae, sae.path, among=_idle())
        except (CheckpointError, OSError) as error:
            log.info("%s keeps the hash %s for now: %s", sae.slug, sae.checkpoint_hash[:12], error)


def _idle():
    """Those that no job computes with."""
    at_work = Job.objects.filter(state=Job.State.RUNNING)
    as_b = at_work.exclude(encoder_b=None)
    return unrecognised().exclude(pk__in=at_work.values("sae")).exclude(pk__in=as_b.values("encoder_b"))


def recognise_named(slug: str, path, now: dict) -> None:
    """The row of this name, before files with this `fingerprint` are registered under it."""
    for sae in unrecognised().filter(slug=slug):
        recognise(sae, path, now)


def recognise(sae: SAE, path, now: dict | None = None, among=None) -> None:
    """Where the row means the files at `path`, give all rows that do the hashes of today.

    `now`: their `fingerprint`, where it is known. Raises CheckpointError where there are no weights.
    """
    old = sae.checkpoint_hash
    if old not in old_hashes(path):
        return
    now, among = now or fingerprint(path), unrecognised() if among is None else among
    with transaction.atomic():
        for row in among.filter(checkpoint_hash=old).select_for_update():
            _rewrite(row, now)
    log.info("%s: the checkpoint %s is now named %s, by its weights", sae.slug, old[:12], now["checkpoint_hash"][:12])


def _rewrite(sae: SAE, now: dict) -> None:
    old, sae.checkpoint_hash, sae.configs_hash = sae.checkpoint_hash, now["checkpoint_hash"], now["configs_hash"]
    sae.save(update_fields=list(now))
    new, reading = sae.checkpoint_hash, sae.reading_hash
    Statistics.objects.filter(sae=sae, checkpoint_hash=old).update(checkpoint_hash=new, reading_hash=reading)
    as_b = Statistics.objects.filter(Q(encoder_b=sae) | Q(encoder_b=None), encoder_b_hash=old)
    as_b.update(encoder_b_hash=new, encoder_b_reading_hash=reading)
