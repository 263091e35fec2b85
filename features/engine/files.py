"""How is a file written so that nobody ever finds half of it, and by which hash is it known?

It is written under another name, written through to disk, and renamed, and the name is written through as well: also
after a power failure, what has the name is whole. One SHA-256 for checkpoints, corpora and downloads; of a folder, the
sizes and hashes of all its files.
"""

import hashlib
import os
import shutil
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .foreign_files import opened_plain


def sha256(path) -> str:
    """SHA-256 (hex) of a file's bytes, as `sha256sum` prints it. Raises Unreadable for what is no regular file."""
    with opened_plain(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_weights(files: Iterable[Path]) -> str:
    """Of weights in one file its SHA-256 (hex), the one that a hub lists; of several, that of their hashes in this
    order. Empty where there are none. Raises Unreadable."""
    hashes = list(map(sha256, files))
    if len(hashes) < 2:
        return "".join(hashes)
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def contents_of(folder: Path) -> dict[str, dict]:
    """{name below the folder: {"bytes", "sha256"}} of all its files."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256(path)} for path in paths
    }


def damage(folder: Path, contents: dict[str, dict], *, sizes_alone: bool = False) -> str:
    """The first of the files that is not as `contents_of` had it, and in what; empty where all are."""
    for name, was in contents.items():
        path = folder / name
        size = path.stat().st_size if path.is_file() else None
        if size != was["bytes"]:
            is_there = "is missing" if size is None else f"has {size:,} bytes"
            return f"{path} {is_there}; it was written with {was['bytes']:,}."
        if not sizes_alone and sha256(path) != was["sha256"]:
            return f"{path} has changed since it was written: another SHA-256."
    return ""


@contextmanager
def whole_file(path) -> Iterator[Path]:
    """A path to write to; what is there when the block ends gets the name `path`. Where it raises, nothing is left."""
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    unfinished = final.with_name(f"{final.name}.{os.getpid()}-{threading.get_ident()}.part")
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
    for path in [*written.rglob("*"), written] if written.is_dir() else [written]:
        if path.is_file() or path.is_dir():
            _write_through(path)
    written.replace(final)
    _write_through(final.parent)


def _write_through(path: Path) -> None:
    """To disk: what a file holds, or the names that a folder has."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
