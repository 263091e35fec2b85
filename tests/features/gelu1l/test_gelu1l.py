"""GELU-1L from a hub on this machine: small files of the same names and layout, from the command to the pages."""

import gzip
import io
import json
import shutil
import socket
from datetime import timedelta

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone
from safetensors.torch import load_file

from features import tasks
from features.engine.corpus.token_rows import open_rows
from features.engine.model.language_model import load_model
from features.engine.model.vocabulary import Vocabulary
from features.engine.prompt import analyse
from features.engine.subject import Subject
from features.gelu1l import convert, download
from features.gelu1l.convert import published_rows
from features.gelu1l.published_numbers import read_published
from features.importing import hub, hub_transfer, job
from features.jobs import leases, lifecycle, worker
from features.management.commands import verify_gelu1l
from features.models import SAE, Corpus, Import, Job
from tests.engine import small
from tests.hub import Hub

D_SAE = 32
CONTEXT = 1024  # whose mask, which is published too, makes the file large enough to come in many blocks
DOCUMENTS = [f"The {n}th text has words of its own, {n * n} of them. def f{n}(x): return x + {n}" for n in range(300)]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A small model under the names and with the context of the real one, and SAEs of a few features."""
    root = tmp_path_factory.mktemp("hub")
    model, tokens, saes, texts = (
        root / name for name in (download.MODEL, download.TOKENS, download.SAES, download.CORPUS)
    )
    for folder in (model, tokens, saes, texts):
        folder.mkdir(parents=True)
    made = tmp_path_factory.mktemp("made")
    config = small.write_model(made) | {"n_ctx": CONTEXT}
    names = ("n_layers", "d_model", "d_mlp", "d_head", "n_heads", "n_ctx", "d_vocab")
    config = {name: config[name] for name in names}
    said = {
        "act_fn": "gelu",
        "attn_only": False,
        "normalization": "LN",
        "ln_eps": 1e-5,
        "tokenizer_name": download.TOKENS,
    }
    (model / "config.json").write_text(json.dumps(config | said))
    weights = load_file(made / "model.safetensors")
    weights["pos_embed.W_pos"] = torch.randn(CONTEXT, config["d_model"], generator=torch.Generator().manual_seed(3))
    weights.pop("unembed.b_U", None)
    mask = torch.ones(CONTEXT, CONTEXT, dtype=torch.bool).tril()
    weights |= {"blocks.0.attn.mask": mask, "blocks.0.attn.IGNORE": torch.tensor(-1e5)}
    torch.save(weights, model / "model_final.pth")
    shutil.copy(made / "tokenizer.json", tokens)
    special = {"bos_token": "<|BOS|>", "eos_token": "<|EOS|>", "pad_token": "<|PAD|>"}
    (tokens / "special_tokens_map.json").write_text(json.dumps(special))
    (tokens / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"} | special))
    for number, run in enumerate(("25", "47")):
        _save_sae(saes, run, config["d_mlp"], number)
    pyarrow.parquet.write_table(pyarrow.table({"text": DOCUMENTS}), texts / "train.parquet")
    return root


def _save_sae(folder, run, width, seed):
    torch.manual_seed(seed)
    decoder = torch.nn.functional.normalize(torch.randn(D_SAE, width), dim=1)
    zeros = {"b_enc": torch.zeros(D_SAE), "b_dec": torch.zeros(width)}
    torch.save({"W_enc": decoder.T.contiguous(), "W_dec": decoder} | zeros, folder / f"{run}.pt")
    config = {"d_mlp": width, "dict_mult": D_SAE / width, "seq_len": 128, "enc_dtype": "fp32"}
    (folder / f"{run}_cfg.json").write_text(json.dumps(config))


@pytest.fixture
def served(files, settings, tmp_path, monkeypatch):
    settings.DATA_DIR = tmp_path / "data"
    monkeypatch.setattr(hub, "PAUSE", 0)
    with Hub(files).used(monkeypatch) as here:
        yield here


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_one_command_leads_from_the_hub_to_pages_and_a_second_needs_no_network(db, served, client, monkeypatch):
    call_command("import_gelu1l", tokens=1000, verbosity=0)
    for slug in download.RUNS:
        sae = SAE.objects.get(slug=slug)
        assert sae.statistics.features.count() == D_SAE
        assert client.get(sae.feature_url(3)).status_code == 200
    first = client.get("/saes/gelu-1l-run1/features/3.json").json()
    assert first["encoder_b"]["slug"] == "gelu-1l-run2" and len(first["correlated_b"]) > 3
    assert client.get("/saes/gelu-1l-run2/features/3.json").json()["encoder_b"] is None
    asked, before = len(served.asked), sae.statistics_id

    def refuse(*args, **kwargs):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    call_command("import_gelu1l", tokens=1000, verbosity=0)
    sae.refresh_from_db()
    assert (len(served.asked), sae.statistics_id) == (asked, before)
    assert client.get(sae.get_absolute_url()).status_code == 200


def test_a_download_that_broke_leaves_no_rows_and_the_next_run_goes_on(db, served, monkeypatch):
    monkeypatch.setattr(hub, "ATTEMPTS", 1)
    fetch = hub._fetch

    def breaks_at_the_weights(repository, name, target, progress):
        served.breaks_after = 100_000 if name == "model_final.pth" else None
        return fetch(repository, name, target, progress)

    monkeypatch.setattr(hub, "_fetch", breaks_at_the_weights)
    with pytest.raises(CommandError, match="100,000 bytes are kept"):
        call_command("import_gelu1l", how="none", verbosity=0)
    assert not SAE.objects.exists() and not Corpus.objects.exists()
    monkeypatch.setattr(hub, "_fetch", fetch)
    call_command("import_gelu1l", how="none", verbosity=0)
    assert (f"/{download.MODEL}/resolve/main/model_final.pth", "bytes=100000-") in served.asked


@pytest.fixture
def published(db, served, monkeypatch, tmp_path):
    """Numbers of the SAE that is served, as if published; how to change them."""
    call_command("import_gelu1l", how="none", verbosity=0)
    sae, corpus = SAE.objects.get(slug="gelu-1l-run1"), Corpus.objects.get()
    subject, rows = Subject.load(sae.model_path, sae.path, sae.hook_point, device="cpu"), open_rows(corpus.path)
    prompt = [int(token) for token in rows[0, 1:8]]
    ids, f = rows[:3, :9].astype(int).tolist(), analyse(subject, prompt).matrix(range(D_SAE))
    found = {"rows": ids, "row_numbers": [0, 1, 2], "corpus_rows": 4, "prompt": prompt, "act_quantile": []}
    found |= {"logits": [[2, 9, 0]], "alignment": [[2, 9, 0]], "activations": [[2, 1, 5, 0]], "counts": [[2, 0]]}
    active = sorted((p, -float(f[i, p]), i) for i, p in zip(*np.nonzero(f), strict=True))
    found["act_size"] = [[int(p), int(i), -size] for p, size, i in active]
    found |= {"loss_effect": [], **{f"correlated_{of}": [[2, 1, 0, 0]] for of in ("neurons", "features", "b")}}

    def told(**changes):
        """What the command says; it fails where numbers differ."""
        monkeypatch.setattr(verify_gelu1l, "PUBLISHED", tmp_path / "published.json.gz")
        (tmp_path / "published.json.gz").write_bytes(gzip.compress(json.dumps(found | changes).encode()))
        out = io.StringIO()
        with pytest.raises(CommandError, match="these are not the published weights") as refused:
            call_command("verify_gelu1l", stdout=out)
        assert refused
        return {line[:22].strip(): line[22:].split() for line in out.getvalue().splitlines()}

    return told


def test_published_numbers_are_compared_with_weights_and_corpus(published):
    told = published()
    assert [told[kind][-1] for kind in ("corpus", "order by act_size", "act_size")] == ["0"] * 3
    assert told["logits"][0] == told["counts"][0] == "1" and told["correlated_b"][0] == "2"
    assert {"counts", "correlated_neurons", "correlated_features", "act_quantile", "loss_effect"} < set(told)
    other = published(prompt=[40, 50, 60, 70, 80, 90, 100])
    assert int(other["order by act_size"][-1]) > 0 and int(other["act_size"][-1]) > 0


def test_without_its_corpus_weights_are_compared_alone(published):
    SAE.objects.update(corpus=Corpus.objects.create(slug="x", name="x", path="x", rows=1, row_length=1))
    Corpus.objects.filter(slug="c4-code-20k").delete()
    told = published()
    assert "Not compared without t" in told and "counts" not in told and "logits" in told


def test_the_published_numbers_in_the_repository_are_whole():
    found = read_published(verify_gelu1l.PUBLISHED)
    assert {kind: len(found[kind]) for kind in ("logits", "alignment", "counts", "activations")} == {
        "logits": 2506,
        "alignment": 384,
        "counts": 128,
        "activations": 5460,
    }
    assert len(found["rows"]) == len(found["row_numbers"]) == 100 and len(found["prompt"]) == 13
    assert len(found["correlated_b"]) == 384 and [7, 3094, 0.979, 0.979] in found["correlated_b"]


def test_the_converted_model_is_transformer_lens_s_own(served, monkeypatch):
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge.sources.native import boot
    from transformer_lens.utilities.tl_checkpoint_conversion import convert_tl_checkpoint
    from transformers import PreTrainedTokenizerFast

    files = download.download()
    folder = convert.convert_model(files.config, files.weights, files.tokenizer, files.config.parent / "converted")
    said = json.loads(files.config.read_text())
    names = ("d_model", "n_layers", "d_mlp", "d_head", "n_heads", "n_ctx", "d_vocab", "act_fn", "attn_only")
    config = TransformerBridgeConfig(
        **{name: said[name] for name in names},
        normalization_type="LN",
        positional_embedding_type="standard",
        architecture="TransformerLensNative",
        init_weights=False,
    )
    tokenizer = PreTrainedTokenizerFast.from_pretrained(str(files.tokenizer))
    theirs = boot(config, tokenizer=tokenizer, device="cpu", model_name="published")
    weights = torch.load(files.weights, weights_only=True)
    weights = {name: w for name, w in weights.items() if not name.endswith(("mask", "IGNORE"))}
    state = convert_tl_checkpoint(weights, config)
    state.setdefault("unembed.bias", torch.zeros(said["d_vocab"]))
    theirs.load_state_dict(state, strict=True)
    tokens = torch.tensor([[1, 40, 77, 200, 12, 9]])
    ours, residual = load_model(folder, "cpu").activations_and_residual(tokens, download.HOOK)
    _, cache = theirs.run_with_cache(tokens)
    torch.testing.assert_close(ours, cache[download.HOOK], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(residual, cache["blocks.0.hook_resid_post"], rtol=1e-5, atol=1e-5)


def test_rows_of_the_corpus_start_with_bos_and_come_in_the_published_order(served):
    folder = download.download().tokenizer
    rows = published_rows(DOCUMENTS, folder)
    unshuffled = np.empty_like(rows)
    unshuffled[np.random.default_rng(42).permutation(len(rows))] = rows
    tokenizer = Vocabulary.load(folder)
    assert rows.shape[1] == 128 and (rows[:, 0] == tokenizer.bos_id).all()
    assert tokenizer.tokenizer.decode(unshuffled[0, 1:40].tolist()).strip().startswith("The 0th text has words")


def test_the_button_asks_a_worker_and_no_hub(db, client, sent, no_network):
    client.force_login(User.objects.create_superuser("staff", password="x"))
    client.post(reverse("admin:features_import_add"), {"gelu1l": "yes"})
    client.post(reverse("admin:features_import_add"), {"gelu1l": "yes"})
    assert [row.path for row in Import.objects.all()] == [job.GELU1L]
    lifecycle.cancel(Import.objects.get())
    assert Import.objects.get().state == "cancelled"
    client.post(reverse("admin:features_import_add"), {"gelu1l": "yes"})
    assert Import.objects.count() == 2


def test_a_worker_brings_it_and_says_how_it_ended(db, served, sent):
    row = Import.objects.create(path=job.GELU1L)
    work()
    row.refresh_from_db()
    assert (row.state, row.error, row.sae.slug) == ("done", "", "gelu-1l-run1")
    assert Job.objects.count() == 2


def work():
    """What a worker does that is woken, of imports."""
    worker.work({Import: tasks.KINDS[Import]})


def bytes_told(monkeypatch, act):
    """Every block is told; `act(row, file)` happens with each of the model's weights."""
    monkeypatch.setattr(hub_transfer, "TOLD_EVERY", 0)
    received = job._received

    def told(lease, file):
        received(lease, file)
        if file.name == "model_final.pth" and file.done:
            act(lease.mine.get(), file)

    monkeypatch.setattr(job, "_received", told)


def test_while_a_file_comes_staff_see_how_far_it_is(db, served, sent, client, monkeypatch):
    client.force_login(User.objects.create_superuser("staff", password="x"))
    row, seen = Import.objects.create(path=job.GELU1L), []
    address = reverse("features:import-json", args=[row.pk])
    bytes_told(monkeypatch, lambda row, file: seen.append(client.get(address).json()))
    work()
    size = (served.root / download.MODEL / "model_final.pth").stat().st_size
    assert len(seen) > 5 and {told["total"] for told in seen} == {size} and seen[-1]["done"] == size
    middle = seen[len(seen) // 2]
    assert 0 < middle["share"] < 1 and middle["rate"] > 0 and middle["seconds_left"] > 0 and middle["can_cancel"]
    assert middle["sentence"].startswith("running: model_final.pth: ") and "s left …" in middle["sentence"]
    assert client.get(address).json()["sentence"] == "done"


def test_a_cancelled_import_stops_between_two_blocks_and_the_next_one_goes_on(db, served, sent, client, monkeypatch):
    client.force_login(User.objects.create_superuser("staff", password="x"))
    row, kept = Import.objects.create(path=job.GELU1L), []

    def cancel(row, file):
        if file.done > 500_000 and not kept:
            kept.append(file.done)
            told = client.post(reverse("features:import-cancel", args=[row.pk])).json()
            assert told["sentence"].endswith("; stops as soon as the step it is in has ended …")

    bytes_told(monkeypatch, cancel)
    work()
    row.refresh_from_db()
    assert (row.state, row.can_be_cancelled) == ("cancelled", False) and "What was downloaded is kept" in row.error
    assert len(kept) == 1 and not (SAE.objects.exists() or Corpus.objects.exists() or Job.objects.exists())
    part = download.settings.DATA_DIR / "hub" / download.MODEL / "model_final.pth.part"
    assert kept[0] <= part.stat().st_size < kept[0] + 200_001
    had = part.stat().st_size
    told = client.post(reverse("features:import-retry", args=[row.pk])).json()
    assert (told["state"], told["error"], told["can_cancel"], told["can_retry"]) == ("queued", "", True, False)
    work()
    assert (f"/{download.MODEL}/resolve/main/model_final.pth", f"bytes={had}-") in served.asked
    assert SAE.objects.count() == 2


def test_cancelled_while_its_rows_are_written_it_leaves_none(db, served, sent, monkeypatch):
    row = Import.objects.create(path=job.GELU1L)
    register = download.Prepared.register

    def cancelled_meanwhile(prepared):
        saes = register(prepared)
        lifecycle.cancel(row)
        return saes

    monkeypatch.setattr(download.Prepared, "register", cancelled_meanwhile)
    work()
    row.refresh_from_db()
    assert row.state == "cancelled" and not SAE.objects.exists() and not Corpus.objects.exists()


def test_a_second_sae_that_cannot_be_read_leaves_neither(db, served, sent):
    whole = (served.root / download.SAES / "47.pt").read_bytes()
    try:
        (served.root / download.SAES / "47.pt").write_bytes(whole[:-200])
        row = Import.objects.create(path=job.GELU1L)
        work()
    finally:
        (served.root / download.SAES / "47.pt").write_bytes(whole)
    row.refresh_from_db()
    assert row.state == "failed" and "47.pt" in row.error and "cut short or damaged" in row.error
    assert not SAE.objects.exists() and not Corpus.objects.exists() and not Job.objects.exists()


def test_an_import_told_to_stop_whose_worker_is_gone_ends_soon(db, sent, settings):
    row = lifecycle.enqueue(Import(path=job.GELU1L))
    lease = leases.claim(row)
    lifecycle.cancel(row)
    lifecycle.pick_up_silent(Import)
    assert Import.objects.get().state == "running"
    Import.objects.update(heartbeat=timezone.now() - timedelta(seconds=settings.SAEVIZ_SILENT_AFTER + 1))
    lifecycle.pick_up_silent(Import)
    assert Import.objects.get().state == "cancelled"
    lease.give_up("late")  # the worker was only slow
    assert Import.objects.get().state == "cancelled"


def test_only_staff_may_cancel(client, db):
    row = Import.objects.create(path=job.GELU1L)
    assert client.post(reverse("features:import-cancel", args=[row.pk])).status_code == 403
    assert Import.objects.get().state == "queued"
    Import.objects.update(state="failed")
    assert client.post(reverse("features:import-retry", args=[row.pk])).status_code == 403
    assert Import.objects.get().state == "failed"


def test_an_import_that_is_done_is_not_tried_again(db, sent, django_capture_on_commit_callbacks):
    row = Import.objects.create(path=job.GELU1L, state="done")
    with django_capture_on_commit_callbacks(execute=True):
        assert lifecycle.retry(row).state == "done"
    assert sent == []
