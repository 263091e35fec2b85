"""The same weights, tokens and features through sae_vis, SAEDashboard and here: seconds per feature, and whose numbers.

The peers run in their own Python (tests/bench/peers/requirements-*.txt say how to make it), named by
PEER_PYTHON_SAE_VIS and PEER_PYTHON_SAEDASHBOARD; one that is not there is left out. BENCH_FOLDER keeps the weights.
`python -m tests.bench.bench_peers FEATURES ROWS` chooses another size than 256 features on 160 rows of 128 tokens.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from features.engine.collect.collect import collect
from features.engine.subject import Subject
from tests.bench.gelu1l_shape import HOOK, write
from tests.bench.peer_numbers import differences

PEERS = {
    "sae_vis": ("PEER_PYTHON_SAE_VIS", "run_sae_vis.py"),
    "SAEDashboard": ("PEER_PYTHON_SAEDASHBOARD", "run_sae_dashboard.py"),
}
PROGRAMS = Path(__file__).parent / "peers"
BLOCK = 256  # features that the peers take through the model at a time; see peers/shared.py


def main(features: int = BLOCK, rows: int = 160):
    there = {name: os.environ[place] for name, (place, _) in PEERS.items() if os.environ.get(place)}
    for name in PEERS.keys() - there.keys():
        print(f"  {name} left out: {PEERS[name][0]} names no Python; tests/bench/peers/requirements-*.txt say how.")
    if not there:
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(os.environ.get("BENCH_FOLDER") or place)
        if not (folder / "rows.npy").exists():
            write(folder)
        chosen = _chosen(folder, features)
        ours, here = _saeviz(folder, chosen, rows)
        print(f"  saeviz: {here:.4f} s a feature, on {rows * 127:,} tokens, {torch.get_num_threads()} thread(s)")
        for name, python in there.items():
            _compare(name, _peer(name, python, folder, chosen, rows, Path(place)), ours, here)


def _chosen(folder: Path, features: int) -> list[int]:
    return sorted(np.random.default_rng(0).choice(_d_sae(folder), features, replace=False).tolist())


def _d_sae(folder: Path) -> int:
    return json.loads((folder / "sae/cfg.json").read_text())["d_sae"]


def _saeviz(folder: Path, chosen: list[int], count: int) -> tuple[dict, float]:
    """The chosen features' statistics, and seconds per feature of the whole: every feature is computed."""
    subject = Subject.load(folder / "model", folder / "sae", HOOK, device="cpu")
    rows, wanted = np.load(folder / "rows.npy")[:count], set(chosen)
    start = time.perf_counter()
    found = {
        one.index: one for one in collect(subject, rows, tokens=rows[:, 1:].size).features() if one.index in wanted
    }
    return found, (time.perf_counter() - start) / subject.d_sae


def _peer(name: str, python: str, folder: Path, chosen: list[int], rows: int, place: Path) -> dict:
    out = place / f"{name}.json"
    words = [python, str(PROGRAMS / PEERS[name][1]), str(folder), ",".join(map(str, chosen)), str(rows), str(out)]
    # The peers count and look up online when they can; here they cannot.
    quiet = os.environ | {"WANDB_MODE": "disabled", "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    quiet["OMP_NUM_THREADS"] = str(torch.get_num_threads())
    done = subprocess.run(words, env=quiet, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{name} failed:\n{done.stderr[-2000:]}")
    return json.loads(out.read_text())


def _compare(name: str, peer: dict, ours: dict, here: float) -> None:
    each, how = seconds_per_feature(peer)
    print(f"  {name}: {each:.3f} s a feature ({how}), {each / here:.0f} times saeviz's")
    for line in _differences(peer, ours):
        print(f"    {line}")


def _differences(peer: dict, ours: dict) -> list[str]:
    return differences({int(index): one for index, one in peer["features"].items()}, ours)


def compared(name: str, python: str, folder: Path, features: int, rows: int, place: Path) -> list[str]:
    """A line for each quantity: how far some features' figures are from a peer's. `place` takes its output."""
    chosen = _chosen(folder, features)
    return _differences(_peer(name, python, folder, chosen, rows, place), _saeviz(folder, chosen, rows)[0])


def seconds_per_feature(peer: dict) -> tuple[float, str]:
    """What one feature takes when they are done 256 at a time, as the peers do, and where the figure is from."""
    count = len(peer["features"])
    if count == BLOCK:
        return peer["seconds"] / BLOCK, "measured"
    one_more = max(0.0, (peer["seconds"] - peer["seconds_of_two"]) / (count - 2))
    fixed = max(0.0, peer["seconds_of_two"] - 2 * one_more)
    how = f"extrapolated from 2 and {count} features: {one_more:.3f} s each, and {fixed:.1f} s shared by {BLOCK}"
    return one_more + fixed / BLOCK, how


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
