"""What `make run` starts beside Redis: how many processes and threads, and what they write."""

import os
import socket
import sys

from ..env import number
from . import paths
from .child import VERBOSE, Program

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def python(name, *arguments, **more) -> Program:
    return Program(name, [sys.executable, *arguments], folder=str(paths.ROOT), **more)


def threads(wanted: int) -> dict:
    """For the arithmetic, unless the user has said how many."""
    return {} if "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": str(wanted)}


def preparation(of: str, **more: str) -> Program:
    """Of the "database", which the site cannot do without, of the "demo", an own "sae" or a "run", for which it
    need not wait."""
    return python(of, "-m", "saeviz.running.first_start", of, environment=threads(CORES) | more, once=True)


def site(listener: socket.socket) -> Program:
    """One process, so that one copy of each model is in memory; its threads read rows while one computes."""
    return python(
        "site",
        *("-m", "saeviz.serving", "--fd", str(listener.fileno())),
        *(("--access-log",) if VERBOSE else ()),
        environment={"SAEVIZ_WARM": os.environ.get("SAEVIZ_WARM", "1"), **threads(min(2, CORES))},
        files=(listener.fileno(),),
        essential=True,
    )


def worker() -> Program:
    """As many parts of computations at a time as there are WORKERS, which divide the cores between them."""
    workers = number("WORKERS")
    return python(
        "worker",
        *("-W", "ignore:You're running the worker with superuser"),  # in a container everybody is root
        *("-m", "celery", "--quiet", "--app", "saeviz", "worker", "--pool", "prefork", "--concurrency", str(workers)),
        *("--hostname", f"saeviz-{os.getpid()}@%h", "--without-gossip", "--without-mingle"),
        *("--loglevel", "INFO" if VERBOSE else "WARNING"),
        environment=threads(max(1, CORES // workers)),
    )
