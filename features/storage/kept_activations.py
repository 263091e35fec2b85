"""Which activations stay after a computation, where, and how are they had back?

The active entries of all features lie in a folder of SAEVIZ_KEPT, up to SAEVIZ_KEPT_BYTES a set, until the statistics
that they belong to are replaced or somebody frees them. Their manifest names the weights, how these were read
(thresholds among it) and the corpus, by hashes. Pages that show statistics never need them.
"""

import re
import shutil
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from pathlib import Path

from django.conf import settings
from django.db import transaction

from ..engine.files import whole_folder
from ..engine.results import Progress
from ..engine.store.active_entries import ActiveEntries
from ..engine.store.kept_entries import KeptEntries, KeptEntriesDamaged, bytes_needed, write_kept
from ..messages import size
from ..models import SAE, Job, KeptActivations, Statistics
from .holdings import questions

ENCODER_A = "encoder_a"  # a shard's folder of the SAE's own entries
FOLDERS = re.compile(r"(\d+-[0-9a-f]{8})(\.part)?")


class NothingKept(ValueError):
    """No activations can be asked; the message says why and the way out."""


# Kept


def keep(lease, shards: Callable[[], list[Path]]) -> None:
    """Keep the entries of a job's shards for the statistics it is about to show, or say in a row why not.

    Statistics are not held up by a full disk: only being cancelled is raised.
    """
    statistics = Job.objects.select_related("result__corpus", "result__sae").get(pk=lease.job.pk).result
    row = _begun(lease, statistics)
    try:
        entries = ActiveEntries(path / ENCODER_A for path in shards())
        needed = bytes_needed(entries)
        if needed > settings.SAEVIZ_KEPT_BYTES:
            limit = f"more than SAEVIZ_KEPT_BYTES allows ({size(settings.SAEVIZ_KEPT_BYTES)})"
            return _say_why_not(lease, row, f"They would take {size(needed)}, {limit}. Raise it and recompute.")
        _write(lease, row, entries, needed)
    except OSError as error:
        shutil.rmtree(path_of(row), ignore_errors=True)
        _say_why_not(lease, row, f"They could not be written: {error.strerror or error}. Make room, and recompute.")


def _begun(lease, statistics: Statistics) -> KeptActivations:
    """The row of a set that is not there yet. A folder is made after its row says that it has one."""
    folder = f"{statistics.pk}-{uuid.uuid4().hex[:8]}"
    begun = {"folder": folder, "machine": socket.gethostname(), "entries": 0, "bytes": 0, "manifest": "", "why_not": ""}
    with transaction.atomic():
        lease.check()
        return KeptActivations.objects.update_or_create(statistics=statistics, defaults=begun)[0]


def _write(lease, row: KeptActivations, entries: ActiveEntries, needed: int) -> None:
    def progress(done, total):
        lease.progress(Progress("keeping activations", done, total))

    with whole_folder(path_of(row)) as folder:
        manifest = write_kept(folder, entries, about(row.statistics), progress)
    # A worker that lost the part meanwhile changes nothing: the row names another folder, and this one goes.
    with transaction.atomic():
        lease.check()
        mine = KeptActivations.objects.filter(pk=row.pk, folder=row.folder)
        mine.update(entries=int(entries.counts.sum()), bytes=needed, manifest=manifest)


def _say_why_not(lease, row: KeptActivations, why_not: str) -> None:
    with transaction.atomic():
        lease.check()
        KeptActivations.objects.filter(pk=row.pk, folder=row.folder).update(folder="", why_not=why_not)


def about(statistics: Statistics) -> dict:
    """What the entries are of: other weights, another reading or another text would have others."""
    names = ("checkpoint_hash", "reading_hash", "tokens")
    corpus = statistics.corpus
    of_corpus = {"corpus": corpus.sha256, "bos": corpus.bos, "row_length": corpus.row_length}
    of_corpus |= {"skipped": corpus.skipped} if corpus.skipped else {}
    return {name: getattr(statistics, name) for name in names} | of_corpus


# Had back


def path_of(row: KeptActivations) -> Path:
    return Path(settings.SAEVIZ_KEPT) / row.folder


def kept_of(sae: SAE) -> KeptEntries:
    """The entries behind the statistics that the SAE's pages show, checked once a process. Raises NothingKept."""
    if sae.statistics_id is None:
        raise NothingKept("There are no statistics yet, and so no activations. Compute them.")
    return kept_by(sae.statistics)


def kept_by(statistics: Statistics) -> KeptEntries:
    """The entries behind a set of statistics, shown or not. Raises NothingKept."""
    row = KeptActivations.objects.select_related("statistics__corpus").filter(statistics=statistics.pk).first()
    if row is None and statistics.quick:
        raise NothingKept("Only quick results are shown so far. Activations can be asked when all tokens are read.")
    if row is None:
        raise NothingKept("These statistics were computed by a version that kept no activations. Recompute them.")
    if not row.is_complete:
        _opened.cache_clear()  # a file that is mapped takes room on disk, name or not
        raise NothingKept(f"No activations are kept. {row.why_not}".strip())
    if not path_of(row).is_dir():
        raise NothingKept(
            f"The activations are not in {path_of(row)}, where {row.machine} wrote them. Put the folder back, or set "
            "SAEVIZ_KEPT to one that this machine sees too; or recompute."
        )
    try:
        kept = _opened(path_of(row), row.manifest, _looks(path_of(row)))
    except (KeptEntriesDamaged, OSError) as problem:
        raise NothingKept(f"The kept activations are damaged. {problem} Recompute.") from problem
    _check_about(kept, row.statistics)
    return kept


@lru_cache(maxsize=4)
def _opened(path: Path, manifest: str, looks: tuple) -> KeptEntries:  # files that look otherwise are checked anew
    kept = KeptEntries.open(path, manifest)
    kept.check()
    return kept


def _looks(path: Path) -> tuple:
    """Size and time of every file."""
    stats = [(file.name, file.stat()) for file in sorted(path.iterdir())]
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


def _check_about(kept: KeptEntries, statistics: Statistics) -> None:
    was, now = kept.manifest["about"], about(statistics)
    names = {"corpus": "text", "checkpoint_hash": "weights", "reading_hash": "reading of the weights"}
    for name, value in now.items():
        if was.get(name) != value:
            before, after = (str(each)[:12] for each in (was.get(name), value))
            what = names.get(name, name)
            raise NothingKept(f"The activations are of another {what} ({before}, now {after}). Recompute.")


@contextmanager
def asked(statistics: Statistics | None) -> Iterator[None]:
    """While a question is answered from them: nobody frees them meanwhile."""
    row = KeptActivations.objects.filter(statistics=statistics and statistics.pk).exclude(folder="").first()
    with questions.reading(path_of(row)) if row else nullcontext():
        yield


def check(row: KeptActivations) -> str:
    """Read all of a set; empty where it is as it was written, else what is wrong with it."""
    try:
        KeptEntries.open(path_of(row), row.manifest).check()
    except (KeptEntriesDamaged, OSError) as problem:
        return str(problem)
    return ""


# Removed


def free(row: KeptActivations) -> int:
    """Remove a set's files; how many bytes that were. Statistics and pages stay."""
    path, freed = path_of(row), row.bytes
    gone = {"folder": "", "manifest": "", "bytes": 0, "why_not": "They were freed. Recompute to have them again."}
    KeptActivations.objects.filter(pk=row.pk).exclude(manifest="").update(**gone)
    shutil.rmtree(path, ignore_errors=True)
    return freed


def remove_leftovers() -> None:
    """The folders that no row names: of statistics that were replaced, and of workers that were killed."""
    paths = list(Path(settings.SAEVIZ_KEPT).glob("*"))
    kept = set(KeptActivations.objects.values_list("folder", flat=True))
    for path in paths:
        named = FOLDERS.fullmatch(path.name)
        if named and named[1] not in kept:
            shutil.rmtree(path, ignore_errors=True)
