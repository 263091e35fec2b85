"""How much sooner are two one-thread workers done with the same statistics than one?"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from saeviz.running import embedded_redis

from .bench_web import ROOT, SLUG, python, say

TOKENS = os.environ.get("BENCH_TOKENS", "524288")


def main():
    with tempfile.TemporaryDirectory() as name:
        loaded = Path(name) / "loaded"
        loaded.mkdir()
        python(environment_of(loaded), "manage.py", "migrate", "-v0")
        python(environment_of(loaded), "manage.py", "load_demo")
        seconds = [seconds_of(loaded, Path(name) / str(workers), workers) for workers in (1, 2)]
    say("sooner with two", f"{seconds[0] / seconds[1]:.2f} x")


def environment_of(folder) -> dict:
    place = {"DATABASE_URL": f"sqlite:///{folder}/saeviz.sqlite3", "REDIS_URL": f"redis+socket://{folder}/redis.sock"}
    common = {"DATA_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "saeviz.settings", "OMP_NUM_THREADS": "1"}
    return os.environ | place | common


def seconds_of(loaded: Path, folder: Path, workers: int) -> float:
    """From the first part to the last, with workers that are already there."""
    shutil.copytree(loaded, folder)
    environment, processes = environment_of(folder), []
    options = ["--port", "0", "--unixsocket", str(folder / "redis.sock"), "--save", ""]
    try:
        processes.append(start([embedded_redis.executable(), *options], folder, environment))
        for number in range(workers):
            worker = [sys.executable, "-m", "celery", "--app", "saeviz", "worker", "--concurrency", "1"]
            processes.append(start([*worker, "--hostname", f"w{number}@%h"], folder, environment))
        time.sleep(15)  # until they are there
        python(environment, "manage.py", "compute_features", SLUG, "--tokens", TOKENS, "--queue")
        while (told := ask(environment, "Job.objects.get().state")) in ("queued", "running"):
            time.sleep(10)  # asking takes a core for a moment; the times are read off the rows
        if told != "done":
            raise SystemExit(f"The job is {told}: {ask(environment, 'Job.objects.get().error')}")
        job = "Job.objects.values_list('started', 'finished').get()"
        seconds = float(ask(environment, f"(lambda at: (at[1] - at[0]).total_seconds())({job})"))
        for stage, label in enumerate(("shards", "merging", "examples", "loss effects", "features"), 1):
            ends = "a=models.Min('started'), b=models.Max('heartbeat')"
            last = f"JobPart.objects.filter(stage={stage}).aggregate({ends})"
            took = ask(environment, f"(lambda at: (at['b'] - at['a']).total_seconds())({last})")
            say(f"{workers} workers, {label}", f"{float(took):.1f} s")
        say(f"{workers} workers, {int(TOKENS):,} tokens", f"{seconds:.1f} s")
        return seconds
    finally:
        for process in reversed(processes):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def start(command, folder, environment):
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=(folder / "errors.log").open("a"),
    )  # fmt: skip


def ask(environment, expression) -> str:
    before = "import django; django.setup(); from django.db import models; from features.models import *"
    return python(environment, "-c", f"{before}; print({expression})").strip()


if __name__ == "__main__":
    main()
