"""What a user should read of what went wrong."""

import errno
import re
import shutil
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, connection

from .engine.foreign_files import in_bytes, in_words


class BadRequest(ValueError):
    """Something was asked that cannot be computed; the message says what can."""


class Refused(Exception):
    """What is asked cannot be answered; the message says why and what to do."""

    def __init__(self, message: str, status: int = 400):
        super().__init__(message)
        self.status = status


def sentence(error, job=None, needed: int = 0, folder: Path | None = None) -> str:
    """What a user should read of an error; `needed`: bytes of disk that the work takes, about, where that is known, and
    `folder` where it writes."""
    if _is_out_of_memory(error):
        if job is None:
            return "Out of memory. Retry when less is running, with a larger SAEVIZ_MEMORY, or on a machine with more."
        return f"Out of memory on {job.device} with {job.tokens:,} tokens. Retry with fewer, or elsewhere."
    if is_disk_full(error):
        return disk_full(error, needed, folder)
    if isinstance(error, (ValueError, OSError)) and str(error):
        return in_words(error)
    return in_words(f"{type(error).__name__}: {error}")


def _is_out_of_memory(error) -> bool:
    """Of Python, of a GPU, or of torch on a CPU, which has no class of its own for it."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and "allocate memory" in str(error)


NO_ROOM = re.compile(
    "no space left on device|disk quota exceeded|file too large|database or disk is full|disk i/o error|"
    "[0-9]+ requested and [0-9]+ written",
    re.I,
)  # as the system, SQLite (of a quota the last), PostgreSQL and numpy say it
NUMBERS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def is_disk_full(error: BaseException) -> bool:
    """Whether it, or what it came of, is that nothing more could be written."""
    while error is not None:
        if getattr(error, "errno", None) in NUMBERS or NO_ROOM.search(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def disk_full(error: BaseException, needed: int = 0, folder: Path | None = None) -> str:
    """Where there is no room, how much there is in each folder that is written to (`folder`, where it is known), and
    what is needed, in bytes where it is known."""
    if isinstance(error, DatabaseError) and connection.vendor != "sqlite":
        host = connection.settings_dict.get("HOST") or "this machine"
        return (
            f"The disk of the database server ({host}) is full: {str(error).splitlines()[0]}. Make room there; retry."
        )
    free = ", ".join(f"{_free(path)} in {path}" for path in dict.fromkeys(_written_to(error, folder)))
    wants = f"; it takes about {size(needed)}" if needed else ""
    what = "The disk, or the quota on it, is full"
    if "i/o error" in str(error).lower():
        what = "The database could not be written: the disk is full, over a quota, or fails"
    return f"{what}: {free} free{wants}. Make room (manage.py kept); retry."


def _written_to(error: BaseException, folder: Path | None) -> list[Path]:
    if given := getattr(error, "filename", None):
        return [Path(str(given)).parent]
    if folder is not None:
        return [folder]
    return [Path(path) for path in (settings.DATA_DIR, settings.SAEVIZ_SHARDS, settings.SAEVIZ_KEPT)]


def _free(folder: Path) -> str:
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return size(shutil.disk_usage(there).free)


def size(count: int) -> str:
    """Bytes in a unit that reads well, as limits are set: 1,536 as "1.5 KiB"."""
    return in_bytes(count)
