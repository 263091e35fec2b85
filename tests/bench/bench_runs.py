"""How long does a server take for the pages of a run of 100 checkpoints of 16,384 features? On made-up figures."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHECKPOINTS, FEATURES = 100, 16_384
PROMISED = 300  # milliseconds

PAGES = """
import json, sys, time
import django; django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from django.conf import settings
from django.test import Client
from features.importing import demo
from features.models import SAE
from tests.features.runs import made
demo.load()
sae = SAE.objects.get()
SAE.objects.update(d_sae=int(sys.argv[2]))
sae.refresh_from_db()
start = time.perf_counter()
run = made.run(sae, int(sys.argv[1]), int(sys.argv[2]))
print(f"made in {time.perf_counter() - start:.0f} s", file=sys.stderr)
last = run.in_order().last()
addresses = ["/runs/", run.get_absolute_url(), f"/runs/{run.slug}.json", last.get_absolute_url()]
addresses += [f"{last.get_absolute_url()}?list={name}" for name in ("born", "changed", "all")]
addresses += [f"/saes/{sae.slug}/features/7777/training.json"]
client, took = Client(SERVER_NAME="localhost"), {}
for address in addresses:
    times = []
    for _ in range(5):
        start = time.perf_counter()
        assert client.get(address).status_code == 200, address
        times.append(1000 * (time.perf_counter() - start))
    took[address] = sorted(times)[2]
print(json.dumps(took))
"""


def main():
    with tempfile.TemporaryDirectory() as data:
        environment = {**os.environ, "DATA_DIR": data, "DJANGO_SETTINGS_MODULE": "saeviz.settings"}
        sizes = [str(CHECKPOINTS), str(FEATURES)]
        command = [sys.executable, "-c", PAGES, *sizes]
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    for address, milliseconds in json.loads(done.stdout.splitlines()[-1]).items():
        print(f"{milliseconds:6.0f} ms{'  above ' + str(PROMISED) if milliseconds > PROMISED else ''}  {address}")
