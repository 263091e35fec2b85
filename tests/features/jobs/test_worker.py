"""With real processes: is a job done by a worker, and found again when that worker is killed?"""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from features.storage.payload import unpack_part
from saeviz.running import embedded_redis
from tests import migrated
from tests.engine.small import D_SAE
from tests.features import checkpoints

pytestmark = pytest.mark.service
TEXT = Path("features/demo/corpus/sotu.txt").resolve()
MANY, THREE_SHARDS = "800000", "200000"  # tokens; the former take longer than it does to ask for anything
FAST = ("--loss-rows", "16")
PATIENCE = 120  # seconds in which a job has to be picked up


class Site:
    """A database, a Redis and workers in a folder of their own; `ask` runs a line of Python in it."""

    def __init__(self, folder):
        self.folder, self.processes = folder, []
        self.environment = os.environ | {
            "DATA_DIR": str(folder),
            "DJANGO_SETTINGS_MODULE": "saeviz.settings",
            "DATABASE_URL": f"sqlite:///{folder}/saeviz.sqlite3",
            "REDIS_URL": f"redis+socket://{folder}/redis.sock",
            "SAEVIZ_SILENT_AFTER": "6",
            "OMP_NUM_THREADS": "1",
            "SAEVIZ_QUICK_TOKENS": "1000000",  # none
        }

    def start(self, *command):
        process = subprocess.Popen(
            command, env=self.environment, cwd=self.folder, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=(self.folder / "errors.log").open("a"),
        )  # fmt: skip
        self.processes.append(process)
        return process

    def redis(self):
        socket = str(self.folder / "redis.sock")
        process = self.start(str(embedded_redis.executable()), "--port", "0", "--unixsocket", socket, "--save", "")
        wait_for((self.folder / "redis.sock").exists)
        return process

    def worker(self):
        self.environment["PYTHONPATH"] = str(Path.cwd())
        return self.start(sys.executable, "-m", "celery", "--app", "saeviz", "worker", "--loglevel", "INFO")

    def ask(self, line, before=""):
        script = f"import django; django.setup(); from features.models import *; {before}\nprint({line})"
        environment = self.environment | {"PYTHONPATH": str(Path.cwd())}
        ran = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        return ran.stdout.strip().splitlines()[-1]

    def manage(self, *words):
        subprocess.run([sys.executable, "manage.py", *words], env=self.environment, check=True, capture_output=True)

    def rows(self, sql):
        """The database's answer, in a blink: `ask` starts a Python."""
        with closing(sqlite3.connect(self.folder / "saeviz.sqlite3", timeout=20)) as database:
            return database.execute(sql).fetchall()

    def state(self):
        return "{} {}".format(*self.rows("SELECT state, attempts FROM features_job ORDER BY id DESC")[0])

    def count(self, table, where="1 = 1"):
        return self.rows(f"SELECT COUNT(*) FROM features_{table} WHERE {where}")[0][0]

    def kill(self, process):
        """The whole group at once, as when memory or power goes."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def end(self):
        for process in self.processes:
            if process.poll() is None:
                self.kill(process)


def wait_for(condition, seconds=PATIENCE):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """A site with a small model and SAE on one of the demo's texts: figures take seconds, not minutes."""
    folder = tmp_path_factory.mktemp("loaded")
    files = checkpoints.write(folder / "files")
    site = Site(folder / "site")
    migrated.copy_into(site.folder)
    text = ("--corpus", str(TEXT))
    site.manage("import_sae", files.sae, "--model", files.model, *text, "--slug", "few", "--no-compute")
    return site.folder


@pytest.fixture
def site(loaded, tmp_path):
    shutil.copytree(loaded, tmp_path / "site")
    site = Site(tmp_path / "site")
    yield site
    site.end()


def test_a_job_waits_for_the_queue_survives_its_worker_and_leaves_nothing_when_it_is_cancelled(site):
    site.manage("compute_features", "few", "--tokens", MANY, *FAST, "--queue")
    assert site.state() == "queued 0"
    site.redis()  # it was away when the job was asked for
    worker = site.worker()
    wait_for(lambda: site.state() == "running 1")
    site.kill(worker)
    assert site.state() == "running 1"
    site.worker()
    wait_for(lambda: site.state() == "running 2")
    site.ask("lifecycle.cancel(Job.objects.get())", "from features.jobs import lifecycle")
    wait_for(lambda: site.state() == "cancelled 2")
    assert not site.count("statistics")


def figures(site):
    """Counts and examples of every feature."""
    rows = site.rows(
        """SELECT f."index", f.count, p.payload
        FROM features_feature f JOIN features_featurepayload p ON p.feature_id = f.id"""
    )
    return {
        index: (
            count,
            [e.tolist() for g in unpack_part(payload, "examples").groups for e in (g.rows, g.positions, g.copies)],
        )
        for index, count, payload in rows
    }


def stopped_at_a_shard(site, worker):
    """Whether the worker's processes are stopped, and one of them has a shard that is not done."""
    os.killpg(worker.pid, signal.SIGSTOP)
    if any(os.getpgid(number) == worker.pid for number in at_shards(site)):
        return True
    os.killpg(worker.pid, signal.SIGCONT)
    return False


def at_shards(site):
    """Processes that have one; none where a process that is stopped holds the database."""
    running = "SELECT worker FROM features_jobpart WHERE stage = 1 AND state = 'running'"
    try:
        with closing(sqlite3.connect(site.folder / "saeviz.sqlite3", timeout=0.1)) as database:
            who = database.execute(running).fetchall()
    except sqlite3.OperationalError:
        return []
    return [int(name.rpartition(" ")[2]) for (name,) in who]  # "machine, process 123"


def test_two_workers_one_of_them_killed_come_to_what_one_process_does(site):
    site.environment["SAEVIZ_SHARE"] = "database"
    site.redis()
    site.manage("compute_features", "few", "--tokens", THREE_SHARDS, *FAST, "--queue")
    places = [site.folder / name for name in ("here", "there")]
    workers = []
    for place in places:  # as on two machines: each sees a folder of its own
        site.environment["SAEVIZ_SHARDS"] = str(place)
        workers.append(site.worker())
    wait_for(lambda: stopped_at_a_shard(site, workers[0]))
    site.kill(workers[0])
    wait_for(lambda: site.state().startswith("done"), seconds=400)
    assert site.count("jobpart", "stage = 1 AND attempts = 2") == 1
    wait_for(lambda: not site.count("shardfile"))  # they go after the result is shown
    shared = figures(site)
    site.manage("compute_features", "few", "--tokens", THREE_SHARDS, *FAST)
    assert figures(site) == shared and len(shared) == D_SAE
