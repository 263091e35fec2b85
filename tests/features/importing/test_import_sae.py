"""One command turns files into pages, asks for what they do not say, and leaves nothing behind when refused."""

import io
import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from django.core.management import CommandError, call_command
from django.db import OperationalError
from safetensors.torch import load_file, save_file

from features.management.commands import import_sae
from features.models import SAE, Corpus, Job
from tests.engine import small

from .. import checkpoints

pytestmark = pytest.mark.django_db


@pytest.fixture
def files(tmp_path, settings, sent, monkeypatch):
    settings.DATA_DIR = tmp_path / "data"
    settings.SAEVIZ_FOLDERS = [str(tmp_path)]
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    return checkpoints.write(tmp_path)


def run(files, *more, path=None, **options):
    """The command's output; the corpus is the small one."""
    out = io.StringIO()
    given = {"model": files.model, "corpus": files.text, "how": "none"} | options
    call_command("import_sae", path or files.sae, *more, stdout=out, **given)
    return out.getvalue()


def refusal(files, **options):
    """What is said when nothing can be imported; and nothing was."""
    with pytest.raises(CommandError) as refused:
        run(files, **options)
    assert not SAE.objects.exists() and not Corpus.objects.exists() and not Job.objects.exists()
    assert str(refused.value).startswith("Nothing was imported. ")
    return str(refused.value)


def bare(files, width=small.D_MLP):
    """The same weights without a config."""
    weights = load_file(Path(files.sae) / "sae_weights.safetensors")
    save_file(weights, files.folder / "bare.safetensors")
    return str(files.folder / "bare.safetensors")


def test_one_command_leads_from_a_folder_to_a_feature_page(files, client):
    told = run(files, how="compute", tokens=500)
    sae = SAE.objects.get()
    assert (sae.slug.endswith("run1"), sae.format, sae.dtype, sae.prepend_bos) == (True, "saelens", "float32", True)
    assert (sae.hook_point, sae.d_in, sae.d_sae, sae.model_path) == (small.HOOK, 24, 40, files.model)
    assert sae.neurons and sae.total_effect and len(sae.checkpoint_hash) == 64
    assert sae.statistics.features.count() == 40
    assert sae.corpus.tokens == sae.corpus.counted > 500
    assert sae.self_check["tokens"] > 400 and sae.self_check["l0"] == pytest.approx(sae.statistics.l0, rel=0.5)
    assert "Self-check on" in told and f"Its page: /saes/{sae.slug}/" in told
    assert client.get(f"/saes/{sae.slug}/features/5/").status_code == 200
    assert client.get(f"/saes/{sae.slug}/features/5.json").json()["sae"]["hook_point"] == small.HOOK


@pytest.mark.parametrize(
    ("hook", "width", "neurons", "total"),
    [
        ("blocks.1.mlp.hook_post", small.D_MLP, True, True),
        ("blocks.0.mlp.hook_post", small.D_MLP, True, False),
        ("blocks.1.attn.hook_z", small.HEADS * small.D_HEAD, False, False),
        ("blocks.1.hook_resid_post", small.D_MODEL, False, True),
        ("blocks.1.hook_resid_mid", small.D_MODEL, False, False),
    ],
)
def test_rows_say_what_the_hook_point_is(files, tmp_path, hook, width, neurons, total):
    run(checkpoints.write(tmp_path, 2, hook, width))
    sae = SAE.objects.get()
    assert (sae.hook_point, sae.neurons, sae.total_effect) == (hook, neurons, total)


def test_a_second_import_changes_nothing_and_another_hook_takes_the_figures_away(files):
    run(files, how="compute", tokens=300)
    before = SAE.objects.get()
    assert "are there already" in run(files, how="compute", tokens=300)
    assert SAE.objects.get().statistics_id == before.statistics_id
    small.write_sae(Path(files.sae), seed=5)
    run(files)
    after = SAE.objects.get()
    assert after.pk == before.pk and after.statistics is None and after.checkpoint_hash != before.checkpoint_hash


def test_a_worker_can_be_left_the_work(files, sent, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        told = run(files, how="queue")
    job = Job.objects.get()
    assert sent == ["ring"] and f"are job {job.pk}" in told and job.corpus == SAE.objects.get().corpus


# Asked for


def test_what_the_files_do_not_say_is_listed_with_what_fits(files):
    said = refusal(files, path=bare(files))
    assert "--answer apply_b_dec_to_input=" in said
    assert "--answer hook_point=...   Where in the model" in said and f"Likely: {small.HOOK}." in said
    assert "--answer normalize=...   What is done to the input first" in said and "Likely: none or layer" in said
    run(files, "--answer", "apply_b_dec_to_input=yes", "--answer", f"hook_point={small.HOOK}", path=bare(files))
    sae = SAE.objects.get()
    assert sae.answers == {"apply_b_dec_to_input": "yes"} and sae.hook_point == small.HOOK


def test_a_model_that_is_not_named_is_asked_for_with_those_that_fit(files):
    config = json.loads((Path(files.sae) / "cfg.json").read_text())
    config["metadata"]["model_name"] = "some-llm"
    (Path(files.sae) / "cfg.json").write_text(json.dumps(config))
    said = refusal(files, model="")
    assert "--answer model=" in said and "The files say 'some-llm'" in said and f"Likely: {files.model}." in said


def test_a_model_that_the_files_name_is_found_below_the_configured_folders(files):
    run(files, model="")
    assert SAE.objects.get().model_path == files.model


def test_at_a_terminal_the_questions_are_asked(files, monkeypatch, capsys):
    monkeypatch.setattr(import_sae.sys.stdin, "isatty", lambda: True, raising=False)
    said = iter(["yes", "1", "", "layer_norm"])
    monkeypatch.setattr("builtins.input", lambda prompt: next(said))
    run(files, path=bare(files))
    assert SAE.objects.get().hook_point == small.HOOK
    assert SAE.objects.get().answers == {"apply_b_dec_to_input": "yes", "activation": "relu", "normalize": "layer_norm"}
    assert f"  1  {small.HOOK}" in capsys.readouterr().out


def test_an_answer_without_a_value_is_explained(files):
    with pytest.raises(CommandError, match="as in --answer k=32"):
        run(files, "--answer", "k")


# Refused


def test_a_file_cut_short_says_how_long_it_is(files):
    weights = Path(files.sae) / "sae_weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-99])
    assert "cut short or damaged" in refusal(files)


def test_a_hook_point_of_another_width_names_both_and_those_that_fit(files):
    said = refusal(files, hook="blocks.0.hook_mlp_out")
    assert "The SAE reads 24 values, blocks.0.hook_mlp_out has 16; of that width are blocks.0.mlp.hook_post" in said


def test_a_hook_point_that_is_not_there_is_named(files):
    assert "blocks.7.hook_mlp_out is not in this model" in refusal(files, hook="blocks.7.hook_mlp_out")


def test_an_sae_of_one_attention_head_is_refused_for_that(files):
    config = json.loads((Path(files.sae) / "cfg.json").read_text())
    config["metadata"] |= {"hook_name": "blocks.0.attn.hook_z", "hook_head_index": 1}
    (Path(files.sae) / "cfg.json").write_text(json.dumps(config))
    assert "reads attention head 1 alone (24 values). Only SAEs that read all heads" in refusal(files)


def test_a_model_of_other_widths_names_them(files):
    small.write_sae(Path(files.sae), d_in=99)
    assert "reads 99 values; small has hook points of 16, 24" in refusal(files)


def test_an_unknown_model_says_how_to_get_it_and_asks_no_network(files, monkeypatch):
    monkeypatch.setattr("socket.socket.connect", lambda *a: pytest.fail("the network was asked"))
    said = refusal(files, model="some/unknown")
    assert "No language model 'some/unknown' is on this machine" in said
    assert "hf download some/unknown" in said and files.model in said


def test_a_folder_without_a_tokenizer_is_no_model(files):
    (Path(files.model) / "tokenizer.json").unlink()
    assert "has no tokenizer.json" in refusal(files)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_broken_numbers_leave_no_rows(files, value):
    path = Path(files.sae) / "sae_weights.safetensors"
    weights = load_file(path)
    weights["W_enc"][0, 0] = value
    save_file(weights, path)
    assert "infinite of 960 values" in refusal(files)


def test_a_half_written_folder_is_called_so(files):
    (Path(files.sae) / "sae_weights.safetensors").unlink()
    assert "half written? Copy it again" in refusal(files)


def test_a_tensor_too_many_is_refused(files):
    path = Path(files.sae) / "sae_weights.safetensors"
    save_file(load_file(path) | {"mystery": torch.zeros(3)}, path)
    assert "mystery" in refusal(files)


class Hostile:
    def __reduce__(self):
        return os.system, (f"touch {Hostile.mark}",)


def test_a_hostile_pickle_does_not_run(files, tmp_path):
    Hostile.mark = tmp_path / "ran"
    torch.save({"W_enc": Hostile()}, tmp_path / "a.pt")
    assert "would run posix.system to load" in refusal(files, path=str(tmp_path / "a.pt"))
    (tmp_path / "b.pt").write_bytes(pickle.dumps({"W_enc": Hostile()}, protocol=2))
    refusal(files, path=str(tmp_path / "b.pt"))
    assert not Hostile.mark.exists()


def test_a_zip_bomb_is_refused_unopened(files, tmp_path, settings):
    settings.SAEVIZ_MAX_BYTES = 10**6
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**6,)})
        archive.writestr("W_enc.npy", header.getvalue() + bytes(4 * 10**6))
    assert "unpacks to 3.8 MiB, more than the 976.6 KiB allowed" in refusal(files, path=str(tmp_path / "bomb.npz"))


def test_a_file_larger_than_the_memory_is_refused_by_its_size(files, tmp_path, settings):
    settings.SAEVIZ_MAX_BYTES = 2**34
    with (tmp_path / "large.pt").open("wb") as file:
        file.truncate(50 * 2**30)
    assert "50.0 GiB, more than the 16.0 GiB allowed" in refusal(files, path=str(tmp_path / "large.pt"))


def test_half_precision_is_read_and_computed_in_full(files):
    path = Path(files.sae) / "sae_weights.safetensors"
    save_file({name: weight.half() for name, weight in load_file(path).items()}, path)
    run(files, how="compute", tokens=200)
    sae = SAE.objects.get()
    assert sae.dtype == "float16" and sae.self_check["explained_variance"] is not None


def test_an_unreadable_corpus_leaves_no_rows(files):
    Path(files.text).write_text(" ")
    assert "0 documents" in refusal(files)
    assert "is no file, no folder, and none of: none yet" in refusal(files, corpus="nowhere")


def test_the_field_of_the_text_is_named_with_the_corpus(files):
    texts = Path(files.text).read_text()
    rows = files.folder / "rows.jsonl"
    rows.write_text(json.dumps({"body": texts, "title": texts}))
    assert 'has no "text" (it has: body, title). Name the field of the text: --field body' in refusal(
        files, corpus=rows
    )
    assert "the text of the demo is read already. Name a file" in refusal(files, corpus="", field="body")
    run(files, corpus=str(rows), field="body")
    assert SAE.objects.get().corpus.tokens


def test_a_short_name_of_another_checkpoint_is_not_taken(files, tmp_path):
    run(files, slug="mine")
    small.write_sae(tmp_path / "other", seed=9)
    with pytest.raises(CommandError, match="The short name 'mine' is taken by .*run1. Choose another: --slug"):
        run(files, path=str(tmp_path / "other"), slug="mine")


def test_a_database_without_tables_is_told(files, monkeypatch):
    monkeypatch.setattr(
        import_sae, "plan_import", lambda asked: (_ for _ in ()).throw(OperationalError("no such table"))
    )
    assert "not ready (no such table). Run `manage.py migrate` first" in refusal(files)


# Corpora


def add_corpus(files, path, *more, **options):
    out = io.StringIO()
    call_command("add_corpus", str(path), *more, model=files.model, stdout=out, **options)
    return out.getvalue()


def test_text_becomes_a_corpus_with_its_licence_and_number_of_tokens(files):
    told = add_corpus(files, files.text, name="Pines", licence="CC0, by nobody", length=16)
    corpus = Corpus.objects.get()
    assert (corpus.name, corpus.licence, corpus.row_length, corpus.bos) == ("Pines", "CC0, by nobody", 16, True)
    assert f"{corpus.tokens:,} tokens in {corpus.rows:,} rows of 16, each with BOS in front" in told
    assert corpus.tokens < corpus.rows * 15  # documents end with EOS, which is not counted


def test_ids_become_a_corpus_and_foreign_ones_are_refused(files, tmp_path):
    np.save(tmp_path / "ids.npy", np.full((4, 8), 5))
    add_corpus(files, tmp_path / "ids.npy")
    assert not Corpus.objects.get().bos
    np.save(tmp_path / "foreign.npy", np.full((4, 8), 50_000))
    with pytest.raises(CommandError, match="No corpus was added. .*Was it made with another tokenizer"):
        add_corpus(files, tmp_path / "foreign.npy")
    np.save(tmp_path / "long.npy", np.full((4, 99), 5))
    with pytest.raises(CommandError, match="rows of 99 ids; this model reads 32"):
        add_corpus(files, tmp_path / "long.npy")


def test_statistics_can_be_computed_on_another_corpus(files, tmp_path):
    run(files, how="compute", tokens=300)
    (tmp_path / "other.txt").write_text("another text in the wind " * 50)
    add_corpus(files, tmp_path / "other.txt", slug="other")
    sae = SAE.objects.get()
    call_command("compute_features", sae.slug, corpus="other", tokens=200)
    sae.refresh_from_db()
    assert sae.statistics.corpus.slug == "other" and sae.corpus.slug != "other"


def test_a_corpus_of_another_tokenizer_is_refused(files):
    run(files)
    sae = SAE.objects.get()
    Corpus.objects.create(slug="foreign", name="Foreign", path="x", rows=1, row_length=9, tokenizer="f" * 64)
    with pytest.raises(CommandError, match="made with another tokenizer .ffffffffffff."):
        call_command("compute_features", sae.slug, corpus="foreign")
    with pytest.raises(CommandError, match="The corpus 'foreign' was made with another tokenizer"):
        run(files, corpus="foreign")
