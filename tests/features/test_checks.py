"""Does `manage.py check` tell what will not run, and stay quiet and quick otherwise?"""

import json
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from features import checks
from features.models import SAE, Corpus


@pytest.fixture
def checkpoint(tmp_path):
    file = tmp_path / "weights" / "sae.safetensors"
    file.parent.mkdir()
    save_file({"W_dec": np.ones((4, 4), np.float32)}, file)
    return file


@pytest.fixture
def sae(tiny, checkpoint):
    SAE.objects.update(path=str(checkpoint.parent))
    return tiny


def told():
    return [message.msg for message in checks.files_of_saes_are_there()]


def test_an_installation_in_order_is_not_complained_of(sae):
    assert checks.files_of_saes_are_there() == []
    assert checks.data_dir_is_writable() == []


def test_a_place_for_activations_that_cannot_be_written_is_told_unless_none_are_kept(settings, tmp_path):
    settings.SAEVIZ_KEPT = tmp_path / "file" / "activations"
    assert checks.activations_can_be_kept() == []
    (tmp_path / "file").write_text("no folder")
    assert [warning.id for warning in checks.activations_can_be_kept()] == ["features.W003"]
    settings.SAEVIZ_KEPT_BYTES = 0
    assert checks.activations_can_be_kept() == []


def test_a_missing_checkpoint_is_named(sae, checkpoint):
    SAE.objects.update(path=str(checkpoint.parent / "gone"))
    assert told() == [f"tiny: the checkpoint {checkpoint.parent / 'gone'} is missing."]


def test_a_folder_without_weights_is_named(sae, checkpoint):
    checkpoint.unlink()
    assert told() == [f"tiny: the checkpoint {checkpoint.parent} holds no files."]


def test_a_checkpoint_that_was_cut_short_is_named_with_both_sizes(sae, checkpoint):
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[:-10])
    sizes = f"{len(whole) - 10:,} bytes where its header says {len(whole):,}"
    assert told() == [f"tiny: the checkpoint {checkpoint} is damaged: {sizes}."]


@pytest.mark.parametrize("content", [b"", b"\xff" * 40, b"\x04\0\0\0\0\0\0\0nope", b"\x02\0\0\0\0\0\0\0[]"])
def test_a_file_that_is_no_checkpoint_is_named(sae, checkpoint, content):
    checkpoint.write_bytes(content)
    assert len(told()) == 1 and "is damaged: it" in told()[0]


def test_missing_token_rows_are_named(sae, tmp_path):
    (tmp_path / "tiny.npy").unlink()
    assert told() == [f"tiny: the file of token rows {tmp_path / 'tiny.npy'} is missing."]


def test_token_rows_cut_short_are_named(sae, tmp_path):
    file = tmp_path / "tiny.npy"
    file.write_bytes(file.read_bytes()[:-2])
    assert "bytes where its header says" in told()[0]


def test_every_complaint_comes_with_a_way_out(sae, checkpoint, tmp_path):
    checkpoint.unlink()
    (tmp_path / "tiny.npy").unlink()
    Corpus.objects.update(slug="demo")
    hints = [message.hint for message in checks.files_of_saes_are_there()]
    assert hints == [
        "Put the files back, or correct the path in the admin.",
        "Run `manage.py load_demo`.",
    ]


def test_a_data_folder_that_cannot_be_written_is_an_error(settings, tmp_path):
    (tmp_path / "file").write_text("")
    settings.DATA_DIR = tmp_path / "file" / "data"
    (error,) = checks.data_dir_is_writable()
    assert error.id == "features.E001" and "Set DATA_DIR" in error.hint


def test_a_database_that_is_not_there_yet_is_neither_asked_nor_made(tmp_path):
    script = (
        "import django, json, sys; django.setup(); from django.core.checks import run_checks; "
        "print(json.dumps([[m.id for m in run_checks()], 'torch' in sys.modules]))"
    )
    environment = {"DJANGO_SETTINGS_MODULE": "saeviz.settings", "DATA_DIR": str(tmp_path / "new"), "PATH": ""}
    ran = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout) == [[], False]
    assert not (tmp_path / "new" / "saeviz.sqlite3").exists()
