"""What is wrong with this installation, and how is it mended? Looks at what it stands on, from Python to Redis."""

import os
import platform
import re
import shutil
import stat
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from django.conf import settings
from django.core import checks
from django.db import Error as DatabaseFailure
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from features.jobs import doorbell
from features.messages import size

from .. import env
from ..running import bootstrap, paths
from . import health, workers

FINE, WARNING, WRONG = "ok", "warning", "wrong"
ENOUGH_DISK = 10 << 30  # bytes; kept activations and shards of a large SAE take some GB
ENOUGH_MEMORY = 4 << 30  # bytes; the demo takes one, with the worker's copy
PINNED = re.compile(r"^([A-Za-z0-9_.-]+)(?:\[\w+\])?==([\w.]+)")
TRY_DEVICE = (
    "import sys, torch; d = torch.device(sys.argv[1]); print(float(torch.ones(8, device=d).sum()), torch.__version__)"
)


@dataclass(frozen=True)
class Diagnosis:
    """What was looked at, how it is, and the way out where it is not fine."""

    subject: str
    state: str
    what: str
    mend: str = ""

    def as_dict(self) -> dict:
        return asdict(self)


def examine():
    """Every Diagnosis, one after another; some take seconds (torch, a device, a database that is away)."""
    for look in (_python, _versions, _settings, _data_dir, _disk, _memory, _device, _database, _redis, _files):
        try:
            yield from look()
        except Exception as error:  # an examination that breaks is a finding too
            yield Diagnosis(
                look.__name__.strip("_"), WRONG, f"{type(error).__name__}: {error}", "See the sentence above."
            )


def _python():
    version = platform.python_version()
    if sys.version_info < bootstrap.OLDEST:
        needed = ".".join(map(str, bootstrap.OLDEST))
        yield Diagnosis("Python", WRONG, f"{version}; {needed} or newer is needed.", "make run PYTHON=python3.12")
    else:
        yield Diagnosis("Python", FINE, version)


def _versions():
    """Of what requirements.txt names."""
    lines = (paths.ROOT / "requirements.txt").read_text().splitlines()
    pinned = dict(match.groups() for match in map(PINNED.match, lines) if match)
    others, missing = [], []
    for name, wanted in pinned.items():
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
            continue
        if found.split("+")[0] != wanted:
            others.append(f"{name} is {found}, tested with {wanted}")
    again = f"{sys.executable} -m pip install -r requirements.txt, or `make run`, which does it."
    if missing:
        yield Diagnosis("packages", WRONG, f"Not installed: {', '.join(missing)}.", again)
    if others:
        yield Diagnosis("packages", WARNING, "; ".join(others) + ".", again)
    if not missing and not others:
        yield Diagnosis("packages", FINE, f"all {len(pinned)} as in requirements.txt")


def _settings():
    for name in env.unknown():
        yield Diagnosis("settings", WARNING, f"{name} is set, and nothing reads it.", "Look for the name in README.md.")
    said = [message for message in checks.run_checks() if message.id not in ("features.W001", "features.W002")]
    for message in said:
        state = WRONG if message.level >= checks.ERROR else WARNING
        yield Diagnosis("settings", state, message.msg, message.hint or "")
    if settings.DEBUG:
        yield Diagnosis(
            "settings", WARNING, "DEBUG=1 shows settings and code to whoever meets an error.", "Unset DEBUG."
        )
    if not said and not env.unknown():
        yield Diagnosis("settings", FINE, "all can be read")


def _data_dir():
    """Nobody else may read the database, the key or the password."""
    data = settings.DATA_DIR
    if not data.exists():
        yield Diagnosis("rights", FINE, f"{data} will be made by the first start")
        return
    if not os.access(data, os.R_OK | os.W_OK | os.X_OK):
        whose = f"chown -R {os.getuid()} {data}, or another DATA_DIR."
        yield Diagnosis("rights", WRONG, f"{data} cannot be read and written by user {os.getuid()}.", whose)
        return
    found = [path for path in (data, *data.iterdir()) if not path.is_symlink()]
    others = [path for path in found if path.stat().st_uid != os.getuid()]
    if others:
        names = ", ".join(path.name for path in others[:5])
        yield Diagnosis(
            "rights", WARNING, f"In {data} belongs to another user: {names}.", f"chown -R {os.getuid()} {data}"
        )
    is_open = [path for path in found if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)]
    if data in is_open:
        yield Diagnosis(
            "rights", WARNING, f"{data} can be read by other users of this machine.", f"chmod -R go= {data}"
        )
    if not others and data not in is_open:
        yield Diagnosis("rights", FINE, f"{data} is its owner's alone")


def _disk():
    folders = {"data": settings.DATA_DIR, "shards": settings.SAEVIZ_SHARDS, "activations": settings.SAEVIZ_KEPT}
    told = set()
    for name, folder in folders.items():
        there = next(path for path in (Path(folder).absolute(), *Path(folder).absolute().parents) if path.exists())
        if there.stat().st_dev in told:
            continue
        told.add(there.stat().st_dev)
        free = shutil.disk_usage(there).free
        mend = f"Free some, remove what is kept (manage.py kept), or move {name} to another disk."
        state = WRONG if free < health.LITTLE_DISK else WARNING if free < ENOUGH_DISK else FINE
        yield Diagnosis("disk", state, f"{size(free)} free at {there} ({name})", "" if state == FINE else mend)


def _memory():
    """What this process may use: the machine's memory, or its container's limit."""
    limit = env.MEMORY
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        if Path(path).exists() and (text := Path(path).read_text().strip()).isdecimal():
            limit = min(limit, int(text))
    mend = "SAEVIZ_LOADED_SUBJECTS=1 and WORKERS=1 take the least; large models need a machine with more."
    state = WARNING if limit < ENOUGH_MEMORY else FINE
    what = f"{size(limit)}, of which saeviz reads SAEs up to {size(settings.SAEVIZ_MAX_BYTES)}"
    yield Diagnosis("memory", state, what, mend if state == WARNING else "")


def _device():
    """Tried in a process of its own: a driver that hangs or crashes is a finding."""
    wanted = settings.SAEVIZ_DEVICE
    device = "cpu" if wanted == "auto" else wanted
    try:
        tried = subprocess.run([sys.executable, "-c", TRY_DEVICE, device], capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        yield Diagnosis("device", WRONG, f"{device} did not answer within 120 s.", "Look at the driver (nvidia-smi).")
        return
    if tried.returncode:
        last = (tried.stderr.strip().splitlines() or ["no word"])[-1]
        mend = "SAEVIZ_DEVICE=auto takes what is there; for CUDA torch has to be a build for it."
        yield Diagnosis("device", WRONG, f"{device} cannot be computed with: {last}", mend)
    else:
        yield Diagnosis("device", FINE, f"SAEVIZ_DEVICE={wanted}, torch {tried.stdout.split()[-1]}")


def _database():
    mend = "Start the database, or correct DATABASE_URL."
    try:
        connection.ensure_connection()
        executor = MigrationExecutor(connection)
        waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseFailure as error:
        yield Diagnosis("database", WRONG, f"Cannot be used: {str(error).strip().splitlines()[0]}", mend)
        return
    if waiting:
        yield Diagnosis("database", WRONG, f"{len(waiting)} migrations wait.", "manage.py migrate, or `make run`.")
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            said = cursor.execute("PRAGMA quick_check(1)").fetchone()[0]
        if said != "ok":
            yield Diagnosis("database", WRONG, f"SQLite finds damage: {said}", "manage.py restore FILE, from a backup.")
            return
    if not waiting:
        yield Diagnosis("database", FINE, connection.vendor)


def _redis():
    away = "`make run` starts one; otherwise start the Redis of REDIS_URL."
    try:
        with doorbell.client() as redis:
            redis.ping()
            version = redis.info("server")["redis_version"]
            redis.set("saeviz:probe", "1", ex=60)
            heard = workers.heard(redis)
    except health.QUEUE_FAILURES as error:
        yield Diagnosis(
            "Redis",
            WRONG,
            f"{settings.REDIS_URL.rpartition('@')[2]}: {error}",
            REFUSALS.get(health.reason(error), away),
        )
        return
    yield Diagnosis("Redis", FINE, f"{version}, takes what is written")
    if heard:
        names = ", ".join(f"{w['name']} ({w['busy']} of {w['processes']} busy)" for w in heard)
        yield Diagnosis("workers", FINE, names)
    else:
        yield Diagnosis(
            "workers",
            WARNING,
            f"None was heard of for {workers.FORGOTTEN_AFTER} s: nothing is computed.",
            "celery -A saeviz worker, or `make run`.",
        )


REFUSALS = {  # the first word of what Redis says
    "MISCONF": "Redis cannot save to its disk: free space there, or CONFIG SET stop-writes-on-bgsave-error no.",
    "OOM": "Redis has reached maxmemory: raise it; what saeviz keeps there takes some kilobytes.",
    "READONLY": "This Redis is a replica: name the primary in REDIS_URL.",
    "NOAUTH": "Put its password into REDIS_URL: redis://:password@host:6379/0",
    "WRONGPASS": "Correct the password in REDIS_URL: redis://:password@host:6379/0",
    "NOPERM": "The user of REDIS_URL needs all commands on keys: ACL SETUSER name ~* &* +@all",
    "LOADING": "Redis reads its data; try again in a moment.",
}  # fmt: skip


def _files():
    """Of SAEs, models and corpora."""
    messages = [message for message in checks.run_checks(tags=["features"]) if message.obj is not None]
    for message in messages:
        yield Diagnosis("files", WARNING, message.msg, message.hint or "")
    if not messages:
        yield Diagnosis("files", FINE, "of all SAEs and corpora are there")
