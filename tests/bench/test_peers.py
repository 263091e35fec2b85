"""What sae_vis and SAEDashboard compute of the same weights is what we do, where they are right: `make test-peers`."""

import os
import re
from pathlib import Path

import pytest

from tests.bench.bench_peers import PEERS, compared
from tests.bench.gelu1l_shape import write
from tests.bench.made_model import Shape

pytestmark = pytest.mark.peers
SMALL = Shape(d_mlp=128, d_model=64, n_heads=4, d_head=16, n_ctx=128, d_vocab=1500)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("made")
    write(made, 512, 128, tokens=12_000, shape=SMALL, sample_tokens=30_000)
    return made


@pytest.mark.parametrize("name", PEERS)
def test_counts_highest_activations_and_logits_are_those_of(name, folder, tmp_path):
    python = os.environ.get(PEERS[name][0])
    if not python:
        pytest.skip(f"{PEERS[name][0]} names no Python; `make test-peers` makes one")
    lines = compared(name, python, folder, features=64, rows=80, place=tmp_path)
    figures = [_number(line.partition(": ")[2]) for line in lines]
    active, _, highest = figures[:3]
    assert active == 0, lines[0]
    assert highest < 1e-3, lines[2]
    assert next(value for value, line in zip(figures, lines, strict=True) if line.startswith("logits")) < 1e-5


def _number(said: str) -> float:
    """The first one; not a number where nothing could be compared."""
    found = re.search(r"\d[\d.]*(e[+-]\d+)?", said)
    return float(found[0]) if found else float("nan")
