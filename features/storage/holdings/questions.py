"""Is somebody asking? Whoever reads a set of kept activations holds it open, in whatever process; nobody frees it then.

A lock on its manifest (flock), so that it ends with its process. Where the file system knows none, nobody is held up.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MANIFEST = "manifest.json"


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """While a question is answered."""
    with _locked(folder, fcntl.LOCK_SH):
        yield


def is_read(folder: Path) -> bool:
    """Whether somebody reads it now."""
    with _locked(folder, fcntl.LOCK_EX) as free:
        return not free


@contextmanager
def _locked(folder: Path, kind: int) -> Iterator[bool]:
    """False where somebody else holds it. Never waits."""
    try:
        opened = os.open(folder / MANIFEST, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # it is gone; who reads it next is told so
        yield True
        return
    try:
        yield _try(opened, kind)
    finally:
        with suppress(OSError):
            os.close(opened)


def _try(opened: int, kind: int) -> bool:
    try:
        fcntl.flock(opened, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
