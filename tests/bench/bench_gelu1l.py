"""From an empty folder to the pages of GELU-1L: made files of the real shapes from a hub on this machine.

    HUB=/tmp/hub TOKENS=1000000 VOCABULARY=vocab.json .venv/bin/python -m tests.bench gelu1l

HUB is kept and used again, and without it nothing is done; VOCABULARY, {id: token}, rebuilds the published tokenizer.
Every step is a process of its own, so that its time and its peak memory are told; after the download there is no hub
any more.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "saeviz.settings")
django.setup()

from tests.bench import made_hub, measured  # noqa: E402
from tests.hub import Hub  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
NOBODY = "http://127.0.0.1:9"  # no hub
LOOK = """
import django, time
django.setup()
from django.test import Client
for index in (0, 7, 128):
    start = time.perf_counter()
    page = Client(HTTP_HOST="127.0.0.1").get(f"/saes/gelu-1l-run1/features/{index}.json")
    print(f"feature {index}: {page.status_code}, {len(page.content):,} bytes, {time.perf_counter() - start:.2f} s,",
          f"{len(page.json()['correlated_b'])} features of encoder B")
"""


def main():
    if not os.environ.get("HUB"):
        return print("left out, as it takes half an hour and 2 GB: name a folder for its files, HUB=...")
    tokens, root = os.environ.get("TOKENS", "1000000"), Path(os.environ["HUB"]) / "gelu-1l"
    start = time.perf_counter()
    made_hub.write(root, vocabulary=os.environ.get("VOCABULARY"))
    print(f"files of the hub, {_size(root)}, made or found in {time.perf_counter() - start:.0f} s")
    with tempfile.TemporaryDirectory() as data, Hub(root).open() as hub:
        step = Steps(data)
        step("migrate", "an empty database", "migrate", "--verbosity", "0")
        step("import", "download, convert, tokenise, check", "import_gelu1l", "--no-compute", hub=hub)
        step("again", "the same without a hub", "import_gelu1l", "--no-compute")
        for run in ("run1", "run2"):
            step(run, f"statistics of 16,384 features, {int(tokens):,} tokens", "compute_features",
                 f"gelu-1l-{run}", "--tokens", tokens)  # fmt: skip
        step("pages", "three features of run 1", program=LOOK)
        step("verify", "against published numbers; these are made ones", "verify_gelu1l", fails=True)
        for name in ("hub", "models", "corpora", "saeviz.sqlite3"):
            print(f"  {name:15} {_size(Path(data) / name)}")


class Steps:
    """Runs commands on a data folder; prints what they say, seconds, processor seconds and peak memory."""

    def __init__(self, data: str):
        made = {"DATA_DIR": data, "DATABASE_URL": f"sqlite:///{data}/saeviz.sqlite3", "HF_HUB_OFFLINE": "0"}
        self.environment = {**os.environ, **made}

    def __call__(self, name: str, what: str, *command, hub: str = NOBODY, program: str = "", fails: bool = False):
        called = [sys.executable, "-c", program] if program else [sys.executable, "manage.py", *command]
        with tempfile.TemporaryFile("w+") as errors:  # and progress bars
            used = measured.run(called, cwd=ROOT, env=self.environment | {"HF_ENDPOINT": hub}, stderr=errors)
            errors.seek(0)
            said = errors.read()
        print(
            f"{name:8} {what}: {used.seconds:.1f} s, {used.processor_seconds:.1f} s of processor, "
            f"{used.peak_bytes / 2**20:,.0f} MiB at most",
            flush=True,
        )
        if bool(used.code) != fails:
            sys.exit(f"{said}\n{' '.join(called[1:])} ended with {used.code}.")


def _size(path: Path) -> str:
    files = [path] if path.is_file() else path.rglob("*")
    return f"{sum(file.stat().st_size for file in files if file.is_file()) / 2**20:,.0f} MiB"


if __name__ == "__main__":
    main()
