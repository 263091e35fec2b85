"""How is a file written so that nobody ever finds half of it, and by which hash is it known?

It is written under another name, written through to disk, and renamed: also after a power failure, what has the name is
whole. One SHA-256 for checkpoints, corpora and downloads.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def sha256(path) -> str:
    """SHA-256 (hex) of a file's bytes, as `sha256sum` prints it."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def whole_file(path) -> Iterator[Path]:
    """A path to write to; what is there when the block ends gets the name `path`. Where it raises, nothing is left."""
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    unfinished = final.with_name(f"{final.name}.{os.getpid()}.part")
    try:
        yield unfinished
        give_name(unfinished, final)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def whole_folder(path) -> Iterator[Path]:
    """The same with a folder to write into, for one process at a time.

    Raises OSError where a folder of this name holds something already.
    """
    final = Path(path)
    unfinished = final.with_name(f"{final.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)  # left by a process that was killed
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
        give_name(unfinished, final)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def give_name(written: Path, final: Path) -> None:
    """Rename a file, or a folder with all its files, once they are on disk.

    A file takes the place of another of that name; OSError where a folder of that name holds something.
    """
    for file in written.rglob("*") if written.is_dir() else [written]:
        if file.is_file():
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
    written.replace(final)
