"""Styles and scripts under names that have their hash, compressed: made once for each version of them.

A browser keeps such a file for good; a changed one has another name. The names are rewritten in templates, styles and
module imports. Standard library only, but for `make`, which runs in a process of its own: settings read where they lie.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from ..running import paths

SOURCE = paths.ROOT / "static"
MADE_WITH = (
    paths.ROOT / "requirements.txt",
    Path(__file__),
    Path(__file__).with_name("hashed_names.py"),
)  # Django brings the administration's files
KEPT = 2  # versions: pages that were opened before an upgrade may still ask for a file of theirs


def folder() -> Path | None:
    """Where the files of this version lie, made now where they do not yet; None where they cannot be."""
    version = fingerprint()
    homes = (paths.ROOT / "build" / "static", paths.data_dir() / "static")  # a checkout may be closed to writing
    for home in homes:
        if (home / version).is_dir():
            return home / version
    for home in homes:
        with suppress(OSError, subprocess.CalledProcessError):
            return _made(home, version)
    return None


def fingerprint() -> str:
    """Changes with any file, its name, and what they are made with."""
    digest = hashlib.sha256()
    for path in [*sorted(path for path in SOURCE.rglob("*") if path.is_file()), *MADE_WITH]:
        digest.update(os.fsencode(path.relative_to(paths.ROOT)) + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _made(home: Path, version: str) -> Path:
    """Made beside its place and moved there in one step: what is there is whole, whoever else makes it too.

    Raises OSError, or CalledProcessError.
    """
    home.mkdir(parents=True, exist_ok=True)
    beside = home / f"{version}.{os.getpid()}"
    try:
        subprocess.run([sys.executable, "-m", "saeviz.serving.static_files", str(beside)], cwd=paths.ROOT, check=True)
        with suppress(OSError):  # another process was first
            beside.rename(home / version)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    if not (home / version).is_dir():
        raise OSError(f"{home / version} could not be made.")
    for old in sorted(home.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
    return home / version


def make(into: str) -> None:
    """All files that pages and administration name, under hashed names, each with its compressed twin."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "saeviz.settings")
    import django
    from django.contrib.staticfiles.management.commands.collectstatic import Command
    from django.core.management import call_command

    from .hashed_names import HashedNames

    django.setup()
    collect = Command()
    collect.storage = HashedNames(location=into)
    call_command(collect, interactive=False, verbosity=0)


if __name__ == "__main__":
    make(sys.argv[1])
