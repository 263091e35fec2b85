"""An SAE of the hub: only its own files are fetched, once, and a name that means none or several is said to."""

import io
import json

import pytest
from django.core.management import CommandError, call_command
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from features.importing import hub
from features.models import SAE
from tests.engine import small
from tests.hub import Hub

from .. import checkpoints

pytestmark = pytest.mark.django_db
NAME = "somebody/some-saes"


@pytest.fixture
def served(tmp_path, settings, monkeypatch):
    """A repository with two SAEs in folders of a folder, and files beside that nobody needs."""
    settings.DATA_DIR = tmp_path / "data"
    settings.SAEVIZ_FOLDERS = []
    monkeypatch.setattr(hub, "PAUSE", 0)
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "hub" / NAME
    for seed, name in enumerate(("layer_0", "layer_1")):
        small.write_sae(root / "mlp" / name, seed=seed)
    (root / "mlp/run.json").write_text("{}")
    (root / "mlp/layer_0/trainer_state.pt").write_bytes(b"optimiser")
    (root / "README.md").write_text("about")
    with Hub(tmp_path / "hub").used(monkeypatch) as here:
        yield here


def imported(tmp_path, name):
    files, out = checkpoints.write(tmp_path / "here"), io.StringIO()
    call_command("import_sae", name, model=files.model, corpus=files.text, how="none", stdout=out)
    return out.getvalue()


def test_a_folder_of_the_hub_becomes_pages_and_only_its_files_come(served, tmp_path, settings):
    told = imported(tmp_path, f"{NAME}/mlp/layer_0")
    sae = SAE.objects.get()
    assert (sae.d_sae, sae.hook_point, sae.format) == (small.D_SAE, small.HOOK, "saelens")
    assert sae.path == str(settings.DATA_DIR / "hub" / NAME / "mlp/layer_0/sae_weights.safetensors")
    assert "sae_weights.safetensors: 0.0 of 0.0 MB" in told
    fetched = [path.rpartition("/main/")[2] for path, _ in served.asked if "/resolve/" in path]
    assert fetched == ["mlp/layer_0/cfg.json", "mlp/run.json", "mlp/layer_0/sae_weights.safetensors"]


def test_what_came_once_is_not_fetched_again_and_a_file_may_be_named(served, tmp_path):
    imported(tmp_path, f"{NAME}/mlp/layer_1")
    before = len(served.asked)
    imported(tmp_path, f"{NAME}/mlp/layer_1/sae_weights.safetensors")
    assert len(served.asked) == before + 1 and SAE.objects.count() == 1  # what there is was asked, nothing fetched


def test_weights_in_several_files_come_with_their_index(served, tmp_path):
    folder = tmp_path / "hub" / NAME / "mlp" / "layer_0"
    weights, where = load_file(folder / "sae_weights.safetensors"), {}
    for number, names in enumerate((["W_enc", "b_enc"], ["W_dec", "b_dec"]), 1):
        part = f"sae_weights-{number:05d}-of-00002.safetensors"
        save_file({name: weights[name] for name in names}, folder / part)
        where |= dict.fromkeys(names, part)
    (folder / "sae_weights.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    (folder / "sae_weights.safetensors").unlink()
    imported(tmp_path, f"{NAME}/mlp/layer_0")
    assert SAE.objects.get().path.endswith("layer_0/sae_weights.safetensors.index.json")


def test_an_index_without_its_parts_is_refused(served, tmp_path):
    folder = tmp_path / "hub" / NAME / "mlp" / "layer_0"
    (folder / "sae_weights.safetensors").unlink()
    (folder / "sae_weights.safetensors.index.json").write_text(json.dumps({"weight_map": {"W_enc": "weights_a.bin"}}))
    with pytest.raises(CommandError, match="is an index, and somebody.some-saes has none of its parts"):
        imported(tmp_path, f"{NAME}/mlp/layer_0")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (NAME, "holds 2 weight files. Name one of 2: somebody/some-saes/mlp/layer_0, somebody/some-saes/mlp/layer_1"),
        (f"{NAME}/mlp", "holds 2 weight files. Name one of 2: somebody/some-saes/mlp/layer_0, "),
        (f"{NAME}/attn", "holds no weights .*; it has README.md, mlp/layer_0/cfg.json.* Name the SAE's folder"),
        (
            "somebody/nobody",
            "somebody/nobody is no path here; as a name on the hub: .* has no somebody/nobody, or it is private",
        ),
        ("./somebody/nobody", "somebody/nobody does not exist"),
        ("../somebody/nobody", "does not exist"),
    ],
)
def test_a_name_that_means_none_or_several_is_said_to(served, tmp_path, name, words):
    with pytest.raises(CommandError, match=f"Nothing was imported. .*{words}"):
        imported(tmp_path, name)
    assert not any("/resolve/" in path for path, _ in served.asked)


def test_weights_that_are_too_large_are_not_fetched(served, tmp_path, settings):
    settings.SAEVIZ_MAX_BYTES = 5000
    with pytest.raises(CommandError, match=r"sae_weights.safetensors has \d+.\d KiB, more than the 4.9 KiB allowed"):
        imported(tmp_path, f"{NAME}/mlp/layer_0")
    assert len(served.asked) == 1


def test_a_gated_sae_is_said_to_be_and_offline_what_came_before_is_enough(served, tmp_path, monkeypatch):
    served.gated = {NAME}
    with pytest.raises(
        CommandError, match=f"Nothing was imported. {NAME} is gated: .* set HF_TOKEN .* `hf auth login`"
    ):
        imported(tmp_path, f"{NAME}/mlp/layer_0")
    assert not SAE.objects.exists()
    served.tokens = served.let_in = {"hf_mine"}
    monkeypatch.setenv("HF_TOKEN", "hf_mine")
    imported(tmp_path, f"{NAME}/mlp/layer_0")
    SAE.objects.all().delete()
    before = len(served.requests)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    imported(tmp_path, f"{NAME}/mlp/layer_0")
    assert SAE.objects.count() == 1 and len(served.requests) == before
    with pytest.raises(CommandError, match="HF_HUB_OFFLINE is set, and .*/layer_1/cfg.json was not downloaded before"):
        imported(tmp_path, f"{NAME}/mlp/layer_1")


def test_a_path_that_is_here_is_not_asked_of_the_hub(served, tmp_path):
    small.write_sae(tmp_path / NAME / "mlp/layer_0")
    imported(tmp_path, f"{NAME}/mlp/layer_0")
    assert not served.asked and SAE.objects.get().path == str(tmp_path / NAME / "mlp/layer_0")
