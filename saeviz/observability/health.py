"""Is everything there? Database, queue, workers, disk and models, looked at every few seconds and no more often."""

import os
import shutil
import sys
import threading
import time
from collections import Counter

from django.conf import settings
from django.db import Error as DatabaseFailure
from django.db import connection
from django.db.models import Count, Min
from django.utils import timezone
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from features import runtime
from features.jobs import doorbell
from features.jobs.status import KINDS

from . import workers

LOOK_AGAIN_AFTER = 5.0  # seconds; whoever asks more often is told the same
LITTLE_DISK = 1 << 30  # bytes; below, computations and SQLite are about to fail
QUEUE_FAILURES = (OperationalError, RedisError, OSError)


class _Last:
    """What the last look found, and when."""

    lock = threading.Lock()
    found: dict | None = None
    at = float("-inf")


def look() -> dict:
    """What `/health/` says: "status" is "ok", "degraded" (pages are served, something else waits) or "down"."""
    with _Last.lock:
        if time.monotonic() - _Last.at > LOOK_AGAIN_AFTER:
            _Last.found, _Last.at = _look(), time.monotonic()
        return _Last.found


def forget() -> None:
    """What was found last."""
    _Last.at = float("-inf")


def _look() -> dict:
    parts = {"database": _database(), "disk": _disk(), **_queue(), "models": _models(), "memory": _memory()}
    if not parts["database"]["ok"]:
        status = "down"
    else:
        status = "ok" if all(part.get("ok", True) for part in parts.values()) else "degraded"
    return {"status": status, **parts}


def _database() -> dict:
    """With what waits and runs in it."""
    began, now = time.perf_counter(), timezone.now()
    try:
        work = {}
        for name, kind in KINDS.items():
            found = kind.objects.unfinished().values("state").annotate(n=Count("pk"), since=Min("created"))
            states = {row["state"]: row for row in found.order_by()}
            waits = states.get("queued")
            work[name] = {
                "queued": waits["n"] if waits else 0,
                "running": states["running"]["n"] if "running" in states else 0,
                "longest_wait": round((now - waits["since"]).total_seconds()) if waits else 0,
            }
    except DatabaseFailure as error:
        return {"ok": False, "why": type(error).__name__}
    return {"ok": True, "kind": connection.vendor, "ms": round(1000 * (time.perf_counter() - began), 1), "work": work}


def _queue() -> dict:
    """Redis, asked to write, and the workers that were heard of."""
    try:
        with doorbell.client() as redis:
            redis.set("saeviz:probe", "1", ex=60)
            heard = workers.heard(redis)
    except QUEUE_FAILURES as error:
        return {"queue": {"ok": False, "why": reason(error)}, "workers": {"ok": False, "why": "The queue is away."}}
    found = {
        "count": len(heard),
        "processes": sum(w["processes"] for w in heard),
        "busy": sum(w["busy"] for w in heard),
    }
    return {
        "queue": {"ok": True},
        "workers": {"ok": bool(heard), **found, "resident": sum(w["resident"] for w in heard)},
    }


def reason(error) -> str:
    """The first word of Redis' own answer, which names no address: MISCONF, OOM, NOAUTH, READONLY ..."""
    word = str(error).split(" ", 1)[0]
    return word if word.isupper() else type(error).__name__


def _disk() -> dict:
    folder = next(folder for folder in (settings.DATA_DIR, *settings.DATA_DIR.parents) if folder.exists())
    free = shutil.disk_usage(folder).free
    return {"ok": free >= LITTLE_DISK, "free": free}


def _models() -> dict:
    states = Counter(runtime.states())
    return {state: states[state] for state in ("ready", "loading", "failed")}


def _memory() -> dict:
    """Of this process; on an NVIDIA GPU also what its models hold there. Torch is not imported for it."""
    torch = sys.modules.get("torch")
    on_gpu = torch.cuda.memory_allocated() if torch and torch.cuda.is_initialized() else 0
    return {"resident": workers.resident(os.getpid()), "gpu": on_gpu}
