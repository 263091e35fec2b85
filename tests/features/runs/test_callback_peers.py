"""A training by SAELens or dictionary_learning hands over checkpoints that mean what they mean there: `make
test-peers`."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from django.conf import settings as django_settings

from features.engine.sae.checkpoint import read_sae
from features.engine.subject import Subject
from features.models import Run
from tests.engine import small

from .conftest import age, watch

pytestmark = [pytest.mark.peers, pytest.mark.django_db]
ROOT = Path(django_settings.BASE_DIR)
PEERS = {"sae_lens": "PEER_PYTHON_SAE_LENS", "dictionary_learning": "PEER_PYTHON_DICTIONARY_LEARNING"}


@pytest.mark.parametrize("name", PEERS)
def test_a_training_by_another_library_is_read_as_it_goes(name, files, tmp_path):
    python = os.environ.get(PEERS[name])
    if not python:
        pytest.skip(f"{PEERS[name]} names no Python; `make test-peers` makes one")
    subject = Subject.load(files.model, files.sae, small.HOOK, device="cpu")
    rows = small.corpus_rows(subject.vocabulary.size)
    x = subject.activations(rows.astype(np.int64))[:, 1:].flatten(0, 1).contiguous()
    np.save(tmp_path / "activations.npy", x.numpy())
    shutil.copy(ROOT / "features/runs/callback.py", tmp_path / "saeviz_callback.py")
    out = tmp_path / "trained"
    words = [python, ROOT / f"tests/bench/peers/callback_{name}.py", tmp_path / "activations.npy", out]
    quiet = os.environ | {"WANDB_MODE": "disabled", "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(words, env=quiet, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    kinds = sorted(path.stem for path in out.glob("*.npy"))
    assert len(kinds) == 4
    for kind in kinds:
        last = read_sae(out / kind / "1920")
        theirs = torch.from_numpy(np.load(out / f"{kind}.npy"))
        assert torch.allclose(last.encode(x[:50]), theirs, atol=1e-5), kind
        for folder in (out / kind).iterdir():
            age(folder)
    watch(files, out)
    found = {Path(run.folder).name: [each.label for each in run.in_order()] for run in Run.objects.all()}
    assert found == {kind: ["640 tokens", "1,280 tokens", "1,920 tokens"] for kind in kinds}
