"""How long does a reader wait for a page, warm and after a cold start? On the demo, in its own folder."""

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import nullcontext
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOKENS = 20_000  # enough for pages of the usual size; the count itself costs a page nothing
KEPT = os.environ.get("BENCH_DATA")  # a folder to keep: its statistics are not computed again
SLUG = "gelu-1l-mini"

IMPORTS = """
import os, sys, time
os.environ["DJANGO_SETTINGS_MODULE"] = "saeviz.settings"
start = time.perf_counter()
import django; django.setup(); import saeviz.urls
print(f"{time.perf_counter() - start:.2f} s, torch", "LOADED" if "torch" in sys.modules else "not loaded")
"""
PAGES = """
import django, json, sys, time
django.setup()
from django.test import Client
client = Client(SERVER_NAME="localhost")
def milliseconds(address):
    start = time.perf_counter()
    answer = client.get(address)
    assert answer.status_code == 200, (address, answer.status_code)
    return 1000 * (time.perf_counter() - start), len(answer.content)
print(json.dumps([[milliseconds(address) for address in run] for run in json.loads(sys.argv[1])]))
"""
UNPACKING = """
import django, statistics, time
django.setup()
from features.models import FeaturePayload
from features.storage.payload import COLUMNS, unpack
columns = dict.fromkeys(COLUMNS, 0)
def milliseconds(payload):
    start = time.process_time()
    unpack(payload, columns)
    return 1000 * (time.process_time() - start)
times = [milliseconds(bytes(payload)) for payload in FeaturePayload.objects.values_list("payload", flat=True)[:501]]
print(f"{statistics.median(times[1:]):.2f} ms of processor, median of {len(times) - 1}")
"""


def main():
    with nullcontext(KEPT) if KEPT else tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "DATA_DIR": folder, "DJANGO_SETTINGS_MODULE": "saeviz.settings"}
        for name in ("DATABASE_URL", "REDIS_URL"):
            environment.pop(name, None)
        say("import of the web side", python(environment, "-c", IMPORTS).strip())
        clock, processor = map(min, zip(*(seconds_of_check(environment) for _ in range(3)), strict=True))
        say("manage.py check", f"{clock:.2f} s, of which processor {processor:.2f} s; best of 3")
        if not (Path(folder) / "prepared").exists():
            prepare(environment)
        for line in warm_pages(environment):
            say(*line)
        say("unpacking a feature's payload", python(environment, "-c", UNPACKING).strip())
        cold = sorted(seconds_to_first_page(environment) for _ in range(3))
        say("from the command to the first feature page", f"{cold[1]:.2f} s, median of 3 starts")


def say(what, value):
    print(f"  {what:<45} {value}", flush=True)


def python(environment, *arguments):
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{arguments[0]} {arguments[1][:60].strip()} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def seconds_of_check(environment):
    """By the clock and of the processor: the first is more where the machine has other work."""
    clock, processor = time.perf_counter(), os.times()
    python(environment, "manage.py", "check")
    after = os.times()
    used = after.children_user + after.children_system - processor.children_user - processor.children_system
    return time.perf_counter() - clock, used


def prepare(environment):
    """The rows and the stamp that a first start and its computation leave behind."""
    python(environment, "-m", "saeviz.running.first_start", "database")
    python(environment, "manage.py", "load_demo")
    start = time.perf_counter()
    python(environment, "manage.py", "compute_features", SLUG, "--tokens", str(TOKENS))
    say(f"statistics of {TOKENS:,} tokens", f"{time.perf_counter() - start:.1f} s, loading included")
    python(environment, "-m", "saeviz.running.first_start", "demo")


def warm_pages(environment):
    """Server time of fifty different pages of each kind, after one that warms up."""
    runs = {
        "feature page": [f"/saes/{SLUG}/features/{37 * i}/" for i in range(51)],
        "feature JSON": [f"/saes/{SLUG}/features/{37 * i}.json" for i in range(51)],
        "table of features": [f"/saes/{SLUG}/features/"] * 6,
        "home": ["/"] * 6,
    }
    measured = json.loads(python(environment, "-c", PAGES, json.dumps(list(runs.values()))))
    for name, (_, *pages) in zip(runs, measured, strict=True):
        times = sorted(milliseconds for milliseconds, _ in pages)
        size = statistics.median(bytes_ for _, bytes_ in pages) / 1024
        yield name, f"{statistics.median(times):.1f} ms median, {times[-1]:.1f} ms slowest, {size:.0f} KB"


def seconds_to_first_page(environment):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    start = time.perf_counter()
    running = subprocess.Popen(
        [sys.executable, "-m", "saeviz.running"],
        cwd=ROOT,
        env={**environment, "PORT": str(port)},
        stdout=subprocess.DEVNULL,
    )
    try:
        fetch(f"http://127.0.0.1:{port}/saes/{SLUG}/features/7/", until=start + 60)
        return time.perf_counter() - start
    finally:
        running.send_signal(signal.SIGINT)
        running.wait()


def fetch(address, until):
    while True:
        try:
            with urllib.request.urlopen(address, timeout=60) as answer:
                return answer.read()
        except urllib.error.HTTPError:
            raise
        except OSError:  # nobody listens yet
            if time.perf_counter() > until:
                raise
            time.sleep(0.02)
