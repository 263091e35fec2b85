"""What a user should read of what went wrong."""

import errno
import re
import shutil
from pathlib import Path

from django.conf import settings

from .engine.foreign_files import in_words


class BadRequest(ValueError):
    """Something was asked that cannot be computed; the message says what can."""


class Refused(Exception):
    """What is asked cannot be answered; the message says why and what to do."""

    def __init__(self, message: str, status: int = 400):
        super().__init__(message)
        self.status = status


def sentence(error, job=None, needed: int = 0) -> str:
    """What a user should read of an error; `needed`: bytes of disk that the work takes, about, where that is known."""
    if _is_out_of_memory(error):
        if job is None:
            return "Out of memory. Retry when less is running, with a larger SAEVIZ_MEMORY, or on a machine with more."
        return f"Out of memory on {job.device} with {job.tokens:,} tokens. Retry with fewer, or elsewhere."
    if is_disk_full(error):
        return disk_full(error, needed)
    if isinstance(error, (ValueError, OSError)) and str(error):
        return in_words(error)
    return in_words(f"{type(error).__name__}: {error}")


def _is_out_of_memory(error) -> bool:
    """Of Python, of a GPU, or of torch on a CPU, which has no class of its own for it."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and "allocate memory" in str(error)


NO_ROOM = re.compile(
    "no space left on device|disk quota exceeded|database or disk is full|[0-9]+ requested and [0-9]+ written", re.I
)  # as the system, SQLite, PostgreSQL and numpy say it


def is_disk_full(error: BaseException) -> bool:
    """Whether it, or what it came of, is that nothing more could be written."""
    while error is not None:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or NO_ROOM.search(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def disk_full(error: BaseException, needed: int = 0) -> str:
    """Where there is no room, how much there is in each folder that is written to, and what is needed."""
    given = getattr(error, "filename", None)
    folders = [Path(str(given)).parent] if given else [settings.DATA_DIR, settings.SAEVIZ_SHARDS, settings.SAEVIZ_KEPT]
    rooms = {}
    for folder in map(Path, folders):
        there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
        rooms[str(folder)] = size(shutil.disk_usage(there).free)
    free = ", ".join(f"{room} in {folder}" for folder, room in rooms.items())
    wants = f"; it takes about {size(needed)}" if needed else ""
    return f"The disk, or the quota on it, is full: {free} free{wants}. Make room (manage.py kept); retry."


def size(count: int) -> str:
    """Bytes in a unit that reads well: 171,400,000 as "171.4 MB"."""
    power = min(3, (len(str(count)) - 1) // 3)
    return f"{count / 1000**power:,.{min(1, power)}f} {('bytes', 'KB', 'MB', 'GB')[power]}"
