"""A run of four checkpoints of a small SAE, read once for all tests of this room."""

import json
import os
import time
from pathlib import Path

import pytest
from django.core.management import call_command
from safetensors.torch import load_file, save_file

from features.jobs import leases
from features.runs.intake import watching

from .. import checkpoints
from . import made

LONG_AGO = time.time() - 3600


def write_checkpoint(folder: Path, sae: Path, factor: float = 1.0, silent=(), step_in_config=None, **settings) -> Path:
    """The SAE in files, its encoder times `factor`, some features silenced; as a trainer leaves it."""
    weights = load_file(sae / "sae_weights.safetensors")
    weights["W_enc"] = weights["W_enc"] * factor
    for feature in silent:
        weights["b_enc"][feature] = -1e4
    config = json.loads((sae / "cfg.json").read_text()) | settings
    if step_in_config:
        config["n_training_samples"] = step_in_config
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "sae_weights.safetensors")
    (folder / "cfg.json").write_text(json.dumps(config))
    age(folder)
    return folder


def age(folder: Path, seconds: float = 3600) -> None:
    """As if its files had been written so long ago."""
    for file in folder.iterdir():
        os.utime(file, (time.time() - seconds,) * 2)


@pytest.fixture
def files(tmp_path, settings, sent, monkeypatch):
    monkeypatch.setattr(leases, "BEAT_EVERY", 1e6)  # signs of life would wait for the test's own transaction
    settings.DATA_DIR = tmp_path / "data"
    settings.SAEVIZ_FOLDERS = [str(tmp_path)]
    settings.SAEVIZ_RUN_TOKENS = 600
    watching._seen.clear()
    watching._due.clear()
    return checkpoints.write(tmp_path)


@pytest.fixture
def training(files):
    """A folder of four steps: feature 1 is born at the second, 5 dies at the third and comes back at the last."""
    run, sae = files.folder / "training", Path(files.sae)
    write_checkpoint(run / "100", sae, 1.0, silent=[1])
    write_checkpoint(run / "200", sae, 1.1)
    write_checkpoint(run / "400", sae, 1.2, silent=[5])
    write_checkpoint(run / "800", sae, 1.3)
    return run


def watch(files, folder, **options):
    call_command("watch", str(folder), model=files.model, corpus=files.text, compute=True, once=True, **options)


@pytest.fixture
def made_run(tiny):
    """made_run(checkpoints=4, d_sae=8) is a run of made-up figures and records, no file behind it."""

    def make(checkpoints=4, d_sae=8, slug="made", **of_run):
        return made.run(tiny, checkpoints, d_sae, slug, **of_run)

    return make
