"""Which workers are there? Each says so to Redis every few seconds, and is forgotten when it stops."""

import json
import os
import socket
import time
from pathlib import Path

from features.jobs import doorbell

KEY = "saeviz:worker:"
FORGOTTEN_AFTER = 35  # seconds; three of the worker's looks


def beat(name: str, processes: int, busy: int) -> None:
    """By a worker's main process. Raises what Redis has to say against it."""
    said = {
        "machine": socket.gethostname(),
        "pid": os.getpid(),
        "processes": processes,
        "busy": busy,
        "resident": resident_of_all(os.getpid()),
        "at": time.time(),
    }
    with doorbell.client() as redis:
        redis.set(KEY + name, json.dumps(said), ex=FORGOTTEN_AFTER)


def heard(redis) -> list[dict]:
    """What each worker said last, with its name."""
    keys = sorted(redis.scan_iter(match=KEY + "*", count=1000))
    found = zip(keys, redis.mget(keys), strict=True) if keys else ()
    return [{"name": _text(key)[len(KEY) :]} | json.loads(said) for key, said in found if said]


def _text(key) -> str:
    return key.decode() if isinstance(key, bytes) else key


def resident(pid: int) -> int:
    """Bytes of memory that a process holds; 0 where the system does not tell."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


def resident_of_all(pid: int) -> int:
    """The same with its children. What they share is counted for each."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        children = []
    return resident(pid) + sum(resident_of_all(int(child)) for child in children)
