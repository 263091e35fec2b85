"""Is the database as this code wants it? Answered without Django, so that a later start costs nothing."""

import hashlib
import os
from pathlib import Path

from . import paths

CODE = ("requirements.txt", "features/demo/SHA256SUMS")  # Django brings migrations; the demo brings rows
MIGRATIONS = "features/migrations"


def fingerprint(data: Path) -> str:
    """Changes when there is something to migrate or to load. The rows of the demo name both places."""
    digest = hashlib.sha256(os.fsencode(paths.ROOT) + b"\0" + os.fsencode(data.resolve()))
    for name in CODE:
        path = paths.ROOT / name
        digest.update(path.read_bytes() if path.exists() else b"-")
    digest.update("\n".join(sorted(path.name for path in (paths.ROOT / MIGRATIONS).glob("*.py"))).encode())
    return digest.hexdigest()


def is_prepared(data: Path) -> bool:
    """A database elsewhere is looked at on every start: nothing here tells what became of it."""
    if os.environ.get("DATABASE_URL") or not (data / "saeviz.sqlite3").exists():
        return False
    try:
        return (data / "prepared").read_text() == fingerprint(data)
    except OSError:
        return False


def mark(data: Path):
    (data / "prepared").write_text(fingerprint(data))
