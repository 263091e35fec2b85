"""Where do the files of a job's parts lie, and how do they reach a worker on a machine that lacks them?

Every job has a folder in SAEVIZ_SHARDS. Workers that do not see the same folder share it through the database
(SAEVIZ_SHARE=database): what a part leaves is stored in pieces and fetched once by each machine that needs it.
What a part leaves says the size and SHA-256 of each of its files; whoever needs it looks, and damage is made again.
"""

import io
import json
import os
import re
import shutil
import socket
import tarfile
import uuid
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from django.conf import settings
from django.db import transaction

from ..engine.files import contents_of, damage, give_name
from ..models import Job, JobPart, ShardFile

PIECE = 8 << 20  # bytes of a row: databases and their drivers hold whole rows in memory
CONTENTS = "contents.json"  # in what a part leaves: its other files, their sizes and hashes
FOLDERS = re.compile(r"(\d+)-([0-9a-f]{8})")
Stage = JobPart.Stage
NAMES = {
    Stage.SHARD: "shard-{:04d}",
    Stage.MERGE: "merged",
    Stage.CHOICE: "shown-{:04d}",
    Stage.EFFECTS: "effects-{:04d}",
}


class FilesMissing(ValueError):
    """What another part left is not to be found; that part is done again when the job is tried again."""


class FilesDamaged(ValueError):
    """What another part left is not as it was written, or gone from this machine, and has to be made again."""


def folder(job: Job) -> Path:
    """Of this job while its inputs are the same."""
    return Path(settings.SAEVIZ_SHARDS) / f"{job.pk}-{job.inputs[:8]}"


def name_of(part: JobPart) -> str:
    """The folder that a part leaves; shards and what is merged are called so by the engine."""
    return NAMES[part.stage].format(part.number)


WRONG = (FilesMissing, FilesDamaged)


# Made


@contextmanager
def attempt(lease):
    """A folder for the work on a part; nobody else, not even a lost worker with the same part, writes into it."""
    path = folder(lease.job) / f"attempt-{lease.part.stage}-{lease.part.number}-{uuid.uuid4().hex[:8]}"
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def keep(lease, made: Path) -> None:
    """Put what an attempt made where other parts look for it, and store it for other machines."""
    final = folder(lease.job) / made.name
    (made / CONTENTS).write_text(json.dumps(contents_of(made)))
    if wrong_with(final):
        _throw_away(final)
    try:
        give_name(made, final)
    except OSError:
        if wrong_with(final):
            raise
        # Whoever had the part before came as far as this; what it made is the same.
    if _in_database():
        _store(lease, final)


def _in_database() -> bool:
    return settings.SAEVIZ_SHARE == "database"


def _store(lease, path: Path) -> None:
    pieces = _Pieces(lease, path.name)
    pieces.begin()
    with tarfile.open(fileobj=pieces, mode="w|", bufsize=1 << 20) as tar:
        tar.add(path, path.name)
    pieces.end()


class _Pieces:
    """A file to write into that becomes rows; each is written only while the lease holds."""

    def __init__(self, lease, name):
        self.lease, self.name, self.number, self.rest = lease, name, 0, bytearray()

    def begin(self):
        with transaction.atomic():
            self.lease.check()
            self.lease.job.files.filter(name=self.name).delete()

    def write(self, data) -> int:
        self.rest += data
        while len(self.rest) >= PIECE:
            self._row(bytes(self.rest[:PIECE]))
            del self.rest[:PIECE]
        return len(data)

    def end(self):
        self._row(bytes(self.rest))

    def _row(self, piece):
        with transaction.atomic():
            self.lease.check()
            ShardFile.objects.create(job=self.lease.job, name=self.name, number=self.number, piece=piece)
        self.number += 1


# Needed


def needed(job: Job, *stages) -> list[Path]:
    """The folders that the parts of these stages left, on this machine, as they were written. Raises FilesMissing,
    FilesDamaged."""
    return [_fetched(job, part) for part in job.parts.filter(stage__in=stages).order_by("stage", "number")]


def _fetched(job, part) -> Path:
    final = folder(job) / name_of(part)
    wrong = wrong_with(final)
    if not wrong:
        return final
    numbers = list(job.files.filter(name=final.name).order_by("number").values_list("pk", flat=True))
    if numbers:
        wrong = _from_database(final, numbers)
    elif not final.is_dir() and not _is_of_this_machine(part):
        raise FilesMissing(
            f"What the part '{part}' left is not in {final}. Workers on several machines need a folder they all see "
            "(SAEVIZ_SHARDS), or SAEVIZ_SHARE=database. Retry."
        )
    if wrong:
        raise FilesDamaged(f"What the part '{part}' left is damaged: {wrong}")
    return final


def _is_of_this_machine(part) -> bool:
    return part.worker.startswith(f"{socket.gethostname()},")


def _from_database(final: Path, numbers: list[int]) -> str:
    """Lay out what is stored in pieces, in place of what is there; what is wrong with that."""
    _throw_away(final)
    try:
        with _whole_or_nothing(final) as path, tarfile.open(fileobj=_Rows(numbers), mode="r|", bufsize=1 << 20) as tar:
            tar.extractall(path, filter="data")
    except (tarfile.TarError, EOFError) as error:
        return f"the pieces in the database are no archive any more ({error})."
    return wrong_with(final)


def _throw_away(final: Path) -> None:
    """Under another name first: whoever reads the files goes on, and nobody finds half of them."""
    gone = final.with_name(f"attempt-gone-{uuid.uuid4().hex[:8]}")
    try:
        final.rename(gone)
    except FileNotFoundError:
        return
    shutil.rmtree(gone, ignore_errors=True)


def wrong_with(path: Path) -> str:
    """What is missing or changed of what a part left; empty where nothing is. Read once for each look of the files."""
    try:
        return _wrong_with(path, _looks(path))
    except (OSError, ValueError, TypeError, KeyError) as error:
        return f"{path / CONTENTS} is {'missing' if isinstance(error, OSError) else 'no list of files'}."


@lru_cache(maxsize=1024)
def _wrong_with(path: Path, looks: tuple) -> str:
    return damage(path, json.loads((path / CONTENTS).read_bytes()))


def _looks(path: Path) -> tuple:
    """Size and time of every file."""
    stats = [(str(file), file.stat()) for file in sorted(path.rglob("*"))]
    return tuple((name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for name, stat in stats)


@contextmanager
def _whole_or_nothing(final: Path):
    path = final.parent / f"attempt-fetch-{uuid.uuid4().hex[:8]}"
    path.mkdir(parents=True)
    try:
        yield path
        try:
            give_name(path / final.name, final)
        except OSError:
            if not final.is_dir():  # another worker of this machine was faster
                raise
    finally:
        shutil.rmtree(path, ignore_errors=True)


class _Rows:
    """Pieces read as one file, one of them in memory at a time."""

    def __init__(self, numbers):
        self.numbers, self.piece = iter(numbers), io.BytesIO()

    def read(self, size) -> bytes:
        data = self.piece.read(size)
        while len(data) < size and (number := next(self.numbers, None)) is not None:
            self.piece = io.BytesIO(ShardFile.objects.values_list("piece", flat=True).get(pk=number))
            data += self.piece.read(size - len(data))
        return data


def lay_out(job: Job, path: Path) -> None:
    """Let an attempt find all shards beside each other under their names."""
    for shard in needed(job, Stage.SHARD):
        (path / shard.name).symlink_to(os.path.relpath(shard, path))


def damaged(job: Job) -> str:
    """Of what the parts that are done left, the first thing that is wrong; empty where nothing is."""
    for part in job.parts.filter(stage__in=NAMES, state=JobPart.State.DONE):
        try:
            _fetched(job, part)
        except WRONG as wrong:
            return str(wrong)
    return ""


def do_again(job: Job) -> list[tuple[JobPart, str]]:
    """Parts whose files are damaged or missing, here and in the database, are not done after all. Which, and what is
    wrong with each."""
    found = []
    for part in job.parts.filter(stage__in=NAMES, state=JobPart.State.DONE):
        try:
            _fetched(job, part)
        except WRONG:
            final = folder(job) / name_of(part)
            found.append((part, wrong_with(final)))
            _throw_away(final)
            job.files.filter(name=final.name).delete()
            JobPart.objects.filter(pk=part.pk).update(state=JobPart.State.WAITING, done=0)
    return found


# Removed


def remove(job: Job) -> None:
    """The files of a job that is over."""
    job.files.all().delete()
    shutil.rmtree(folder(job), ignore_errors=True)


def remove_leftovers() -> None:
    """The folders of jobs that no longer need them. A folder is made after its job says that it has one."""
    paths = list(Path(settings.SAEVIZ_SHARDS).glob("*"))
    kept = {(str(pk), inputs[:8]) for pk, inputs in Job.objects.exclude(inputs="").values_list("pk", "inputs")}
    for path in paths:
        named = FOLDERS.fullmatch(path.name)
        if named and named.groups() not in kept:
            shutil.rmtree(path, ignore_errors=True)
