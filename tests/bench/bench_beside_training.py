"""How much slower is a training with the watcher's worker beside it? One thread each, the worker nice and not.

The worker is stopped and let go on in turns: both halves of a ratio are of the same minute.
"""

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from .bench_web import ROOT, python, say

WINDOW, TURNS = float(os.environ.get("BENCH_WINDOW", "4")), 4  # seconds, with and without


def main():
    for nice in (19, 0):
        with tempfile.TemporaryDirectory() as name, _worker(Path(name), nice) as (worker, memory):
            steps = {True: 0, False: 0}
            train = _training()
            for turn in range(2 * TURNS):
                beside = bool(turn % 2)
                worker.send_signal(signal.SIGCONT if beside else signal.SIGSTOP)
                steps[beside] += train(WINDOW)
            say(f"niceness {nice}: steps a second alone", f"{steps[False] / (TURNS * WINDOW):.1f}")
            say(f"niceness {nice}: with the worker beside it", f"{steps[True] / (TURNS * WINDOW):.1f}")
            say(f"niceness {nice}: with / without", f"{steps[True] / steps[False]:.2f} x")
            say(f"niceness {nice}: memory of the worker at most", f"{memory() / 1e6:,.0f} MB")


def _training():
    """train(seconds) is the number of steps that a small SAE makes meanwhile."""
    import torch

    torch.set_num_threads(1)
    g = torch.Generator().manual_seed(0)
    W_enc = (0.03 * torch.randn(512, 2048, generator=g)).requires_grad_()
    W_dec = W_enc.detach().T.clone().requires_grad_()
    optimiser = torch.optim.Adam([W_enc, W_dec])
    x = torch.randn(512, 512, generator=g)

    def train(seconds: float) -> int:
        steps, until = 0, time.monotonic() + seconds
        while time.monotonic() < until:
            acts = torch.relu(x @ W_enc)
            loss = (acts @ W_dec - x).square().mean() + 1e-3 * acts.mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            steps += 1
        return steps

    train(1)
    return train


@contextmanager
def _worker(folder: Path, nice: int):
    """A watcher that reads the demo's checkpoints, at it; and what memory it has taken."""
    database = folder / "saeviz.sqlite3"
    environment = os.environ | {
        "DATABASE_URL": f"sqlite:///{database}", "DATA_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "saeviz.settings",
        "OMP_NUM_THREADS": "1", "SAEVIZ_NICE": str(nice), "SAEVIZ_DEVICE": "cpu", "SAEVIZ_MEMORY": str(4 << 30),
    }  # fmt: skip
    python(environment, "manage.py", "migrate", "-v0")
    python(environment, "manage.py", "load_demo")
    words = ["watch", "features/demo/checkpoints", "--compute", "--model", "features/demo/model", "--corpus", "demo"]
    out = subprocess.DEVNULL
    process = subprocess.Popen([sys.executable, "manage.py", *words], cwd=ROOT, env=environment, stdout=out, stderr=out)
    try:
        _until_it_reads(database, process)
        yield process, lambda: _peak(process.pid)
    finally:
        process.kill()
        process.wait()


def _until_it_reads(database: Path, process) -> None:
    query = "select count(*) from features_checkpoint where state = 'running' and phase = 'activations'"
    for _ in range(600):
        if process.poll() is not None:
            sys.exit("The worker ended before it had begun.")
        with sqlite3.connect(database, timeout=10) as connection:
            if connection.execute(query).fetchone()[0]:
                return
        time.sleep(0.5)
    sys.exit("The worker has begun nothing for five minutes.")


def _peak(pid: int) -> int:
    """Bytes of memory that a process has had at most."""
    said = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(said["VmHWM"].split()[0]) << 10
