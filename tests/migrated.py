"""A SQLite database with every migration applied and no rows, made once for all processes that want a copy of it.

It lies in `build/tests`, by the hash of what makes it: going through the migrations takes longer than most tests.
"""

import fcntl
import hashlib
import os
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / "build" / "tests"
CODE = ("features/migrations", "features/models", "prompts", "saeviz/settings.py")  # models have permissions of theirs


def file() -> Path:
    """Where it lies; made first where it is not there yet, by one process, while others wait."""
    PLACE.mkdir(parents=True, exist_ok=True)
    made = PLACE / f"migrated-{_hash()}.sqlite3"
    with (PLACE / "migrated.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            _make(made)
    return made


def copy_to(database: sqlite3.Connection) -> None:
    """What the database holds gives way to a copy."""
    with closing(sqlite3.connect(file())) as migrated:
        migrated.backup(database)


def copy_into(folder: Path) -> None:
    """As the database of a DATA_DIR."""
    folder.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(folder / "saeviz.sqlite3")) as database:
        copy_to(database)


def _hash() -> str:
    digest = hashlib.sha256(f"{version('django')} {version('django-axes')}".encode())
    for place in CODE:
        path = ROOT / place
        for each in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(f"{each.relative_to(ROOT)}\0".encode() + each.read_bytes())
    return digest.hexdigest()[:16]


def _make(made: Path) -> None:
    with tempfile.TemporaryDirectory() as data:
        other = ("DATABASE_URL", "REDIS_URL")  # a developer's
        environment = {name: value for name, value in os.environ.items() if name not in other} | {"DATA_DIR": data}
        command = [sys.executable, "manage.py", "migrate", "--verbosity=0"]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        half = made.with_suffix(".half")
        half.unlink(missing_ok=True)
        with (
            closing(sqlite3.connect(Path(data) / "saeviz.sqlite3")) as database,
            closing(sqlite3.connect(half)) as copy,
        ):
            database.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # whole in one file
    half.rename(made)
