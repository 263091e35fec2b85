"""What was read stands on the page, beside what the files say; what they leave open is chosen on text, and said."""

import io
import json
import re
import shutil
from html import unescape
from pathlib import Path

import pytest
import torch
from django.core.management import CommandError, call_command
from safetensors.torch import save_file

from features.engine.corpus.token_rows import open_rows
from features.engine.self_check import counted_activations
from features.engine.subject import Subject
from features.importing import corpora, folders, language_models
from features.models import SAE
from tests.engine import small

from .. import checkpoints

pytestmark = pytest.mark.django_db
RESIDUAL = "blocks.0.hook_resid_post"


@pytest.fixture
def files(tmp_path, settings, monkeypatch):
    settings.DATA_DIR = tmp_path / "data"
    settings.SAEVIZ_FOLDERS = [str(tmp_path)]
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    return checkpoints.write(tmp_path)


def run(files, path, *more, **options):
    out = io.StringIO()
    given = {"model": files.model, "corpus": files.text, "how": "none"} | options
    call_command("import_sae", str(path), *more, stdout=out, **given)
    return out.getvalue()


def page(client):
    """The text of the newest SAE's page."""
    html = client.get(SAE.objects.order_by("pk").last().get_absolute_url()).content.decode()
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def row(client, name):
    html = client.get(SAE.objects.order_by("pk").last().get_absolute_url()).content.decode()
    cell = re.search(rf'<th scope="row">{name}</th><td>(.*?)</td>', html, re.DOTALL)[1]
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", cell)).strip())


# links


def linked(files):
    """The SAE and a text as the hub's cache has them: links into blobs/."""
    blobs, snapshot = files.folder / "cache" / "blobs", files.folder / "cache" / "snapshots" / "1"
    blobs.mkdir(parents=True), snapshot.mkdir(parents=True)
    sources = [*Path(files.sae).iterdir(), Path(files.text)]
    for number, source in enumerate(sources):
        shutil.copy(source, blobs / (f"{number:x}" * 64))
        (snapshot / source.name).symlink_to(f"../../blobs/{f'{number:x}' * 64}")
    return snapshot


def test_a_file_of_the_hubs_cache_is_read_with_what_lies_beside_the_link(files):
    snapshot = linked(files)
    run(files, files.sae, slug="plain")
    run(files, snapshot / "sae_weights.safetensors", slug="cached", corpus=str(snapshot / "pines.txt"))
    plain, cached = (SAE.objects.get(slug=slug) for slug in ("plain", "cached"))
    assert (cached.format, cached.configs_hash) == (plain.format, plain.configs_hash) == ("saelens", plain.configs_hash)
    assert cached.self_check == plain.self_check and cached.corpus.name == "pines"
    assert cached.path == str(snapshot / "sae_weights.safetensors")


def test_the_administrations_folders_keep_links_and_follow_none_out(files, settings, tmp_path):
    snapshot = linked(files)
    assert snapshot in folders.checkpoints()
    assert folders.inside(snapshot / "sae_weights.safetensors") == snapshot / "sae_weights.safetensors"
    settings.SAEVIZ_FOLDERS = [str(files.folder / "cache" / "snapshots")]
    with pytest.raises(folders.Outside):
        folders.inside(snapshot / "sae_weights.safetensors")  # leads to blobs/, which is elsewhere


def test_the_same_model_by_another_path_is_the_same(files, tmp_path):
    (tmp_path / "link").symlink_to(files.model)
    small.write_sae(tmp_path / "second", seed=4)
    run(files, tmp_path / "second", slug="b")
    run(files, files.sae, slug="a", encoder_b="b", model=str(tmp_path / "link"))
    assert SAE.objects.get(slug="a").model_path == str(tmp_path / "link")
    run(files, files.sae, slug="a")
    assert SAE.objects.get(slug="a").encoder_b.slug == "b"  # that of another place is taken away


# names


def named_otherwise(files, **metadata):
    config = json.loads((Path(files.sae) / "cfg.json").read_text())
    config["metadata"] |= {"model_name": "someone/base"} | metadata
    (Path(files.sae) / "cfg.json").write_text(json.dumps(config))


def test_the_page_names_the_model_that_was_read_and_beside_it_the_one_of_the_files(files, client):
    named_otherwise(files, hook_name="blocks.3.mlp.hook_post", context_size=256, prepend_bos=False)
    told = run(files, files.sae, hook=small.HOOK)
    assert f"of small at {small.HOOK}." in told
    assert "Its files name another model: someone/base." in told
    assert "Its files name another hook point: blocks.3.mlp.hook_post." in told
    model = row(client, "Model")
    assert model.startswith("small; the SAE's files name someone/base") and files.model in model
    assert re.search(r"sha256 [0-9a-f]{64}", model)
    assert "blocks.3.mlp.hook_post" in row(client, "Hook point")
    assert row(client, "BOS") == "<|BOS|> (0), as tokenizer_config.json names it"
    assert row(client, "EOS") == "<|EOS|> (1), as tokenizer_config.json names it"
    assert row(client, "Context").startswith("rows of 32 tokens; the model reads 32 at most; the SAE was trained on")
    assert "sae_weights.safetensors, cfg.json" in row(client, "Checkpoint")


def test_a_name_in_files_is_no_alias_of_the_folder_that_was_given_once(files):
    named_otherwise(files)
    run(files, files.sae)
    with pytest.raises(language_models.UnknownModel):
        language_models.find("someone/base")
    assert language_models.find("small") == Path(files.model)


def test_an_sae_is_named_by_model_place_and_step(files):
    run(files, files.sae)
    assert SAE.objects.get().name == f"small, {small.HOOK}, 40 features"
    shutil.copytree(files.sae, files.folder / "run2" / "00123904")
    run(files, files.folder / "run2" / "00123904")
    assert SAE.objects.order_by("pk").last().name.endswith("40 features, 123,904 samples")


def test_a_hook_point_may_be_named_as_a_module(files, client):
    small.write_sae(Path(files.sae), hook="transformer.h.0", d_in=small.D_MODEL)
    run(files, files.sae)
    assert SAE.objects.get().hook_point == RESIDUAL
    assert "transformer.h.0, which is named, is blocks.0.hook_resid_post here" in row(client, "How it was read")
    run(files, files.sae, hook="model.layers.0.mlp")
    assert SAE.objects.get().hook_point == "blocks.0.hook_mlp_out"
    read = row(client, "How it was read")
    assert "The module model.layers.0.mlp, which was named" in read and "which is named" not in read


# a whole run


def test_the_saes_of_a_run_are_offered(files):
    for name in ("layers.0", "layers.0.mlp"):
        small.write_sae(files.folder / "run" / name)
    with pytest.raises(CommandError, match=r"--answer sae=... .*It holds 2 SAEs.* Likely: layers.0 or layers.0.mlp."):
        run(files, files.folder / "run")
    with pytest.raises(CommandError, match=r"has no SAE '\.\./run1': it holds layers.0"):
        run(files, files.folder / "run", "--answer", "sae=../run1")
    run(files, files.folder / "run", "--answer", "sae=layers.0.mlp")
    sae = SAE.objects.get()
    assert sae.path == str(files.folder / "run" / "layers.0.mlp") and sae.answers == {}


# what text tells


def batch_topk(files, threshold, k=4):
    """A BatchTopK SAE of dictionary_learning in mid-training."""
    g = torch.Generator().manual_seed(3)
    decoder = torch.randn(small.D_MODEL, 64, generator=g)
    decoder /= decoder.norm(dim=0)
    weights = {"encoder.weight": decoder.T.contiguous(), "encoder.bias": torch.zeros(64), "decoder.weight": decoder}
    weights |= {"b_dec": torch.zeros(small.D_MODEL), "k": torch.tensor(k), "threshold": torch.tensor(threshold)}
    folder = files.folder / "trainer_0"
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    torch.save(weights, folder / "checkpoints" / "ae_6.pt")
    trainer = {"dict_class": "BatchTopKSAE", "k": k, "activation_dim": small.D_MODEL, "dict_size": 64}
    (folder / "config.json").write_text(json.dumps({"trainer": trainer}))
    return folder / "checkpoints" / "ae_6.pt"


@pytest.mark.parametrize(("stored", "said"), [(-1.0, "-1, is not settled"), (0.01, "0.01, with which ")])
def test_a_threshold_that_has_not_settled_is_chosen_so_that_k_features_fire(files, client, stored, said):
    path = batch_topk(files, stored)
    told = run(files, path, hook=RESIDUAL)
    sae = SAE.objects.get()
    assert sae.self_check["l0"] == pytest.approx(4, abs=0.02) and "step 6" in sae.name
    assert re.search(r"threshold \d+(\.\d+)? chosen so that 4 features fire on average .*" + said, told)
    assert f"{said}" in row(client, "How it was read")
    assert f"threshold = {sae.answers['threshold']}, chosen on text at import" in page(client)
    # What a worker reads later with the stored answers is what was checked.
    from features.storage.readers import subject_of

    config = subject_of(sae).sae.config
    assert config.activation == "jumprelu" and config.provenance["batch_topk"]["settled"]
    run(files, path, hook=RESIDUAL)
    assert SAE.objects.get().answers == sae.answers


@pytest.mark.parametrize(("answer", "l0"), [("per_token", 4), ("file", 32)])
def test_the_files_own_threshold_and_k_of_each_token_can_be_answered(files, client, answer, l0):
    run(files, batch_topk(files, -1.0), "--answer", f"threshold={answer}", hook=RESIDUAL)
    sae = SAE.objects.get()
    assert sae.self_check["l0"] == pytest.approx(l0, rel=0.15)
    assert f"threshold = {answer}, as its importer said" in page(client)


def test_a_threshold_that_has_settled_is_left_alone(files):
    path = batch_topk(files, -1.0)
    run(files, path, hook=RESIDUAL)
    chosen = float(SAE.objects.get().answers["threshold"])
    run(files, batch_topk(files, chosen * 1.1), hook=RESIDUAL)
    assert SAE.objects.get().answers == {}


def test_a_scaling_factor_is_measured_where_no_file_has_it(files, client):
    """Of the activations' 24 axes the SAE knows six; the others are its b_dec, which is right at one scale alone."""
    subject = Subject.load(files.model, files.sae, small.HOOK, device="cpu")
    h = counted_activations(subject, open_rows(corpora.build(files.text, files.model).path))
    scale = small.D_MLP**0.5 / h.norm(dim=-1).mean()
    axes = torch.eye(small.D_MLP)[:6]
    mirror = torch.cat([axes, -axes])
    weights = {"W_enc": mirror.T, "W_dec": mirror, "b_enc": torch.zeros(12), "b_dec": h.mean(0) * scale}
    save_file({name: w.contiguous() for name, w in weights.items()}, Path(files.sae) / "sae_weights.safetensors")
    config = json.loads((Path(files.sae) / "cfg.json").read_text())
    config |= {"normalize_activations": "expected_average_only_in", "d_sae": 12}
    (Path(files.sae) / "cfg.json").write_text(json.dumps(config))
    with pytest.raises(CommandError, match="--answer scaling_factor=... .* Likely: measured or 1.0"):
        run(files, files.sae)
    run(files, files.sae, "--answer", "scaling_factor=measured")
    sae = SAE.objects.get()
    assert float(sae.answers["scaling_factor"]) == pytest.approx(float(scale), rel=0.2)
    assert sae.provenance["chosen"] == ["scaling_factor"]
    assert "was measured: it explains most of" in row(client, "How it was read")


def test_an_answer_without_effect_imports_nothing(files):
    with pytest.raises(CommandError, match="saelens does not ask for k"):
        run(files, files.sae, "--answer", "k=3")
    assert not SAE.objects.exists()
