"""The same weights, saved in other ways than their library does: read where nothing is left to guess, and said."""

import argparse
import json
import pathlib
import pickle
import re

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from features.engine import foreign_files
from features.engine.corpus.token_rows import CorpusError, open_rows
from features.engine.model.config import ModelError
from features.engine.model.language_model import load_model
from features.engine.sae.checkpoint import CheckpointError, checkpoint_hash, describe, read_sae
from features.engine.sae.layouts import hook_names
from features.engine.sae.reading.files import find_saes
from features.engine.sae.reading.pickles import read_pickle
from tests.engine import small
from tests.engine.sae.sae_files import D, H, K, check, four, inputs, jumprelu, keep_largest, linear, normal, write

BARE = {"apply_b_dec_to_input": True}


def two_layers():
    return linear() | {"encoder.bias": normal(H, seed=2), "decoder.bias": normal(D, seed=3)}


def same(path, reference, answers=None):
    """Both are the same SAE; the notes of the first."""
    one, other = read_sae(path, answers=answers), read_sae(reference, answers=answers)
    h = inputs()
    assert torch.equal(one.encode(h), other.encode(h)) and torch.equal(one.W_dec, other.W_dec)
    return " ".join(one.config.provenance["notes"])


@pytest.fixture
def plain(tmp_path):
    return write(tmp_path / "plain", "own.pt", two_layers())


# prefixes and wrappers


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "sae.", "module._orig_mod.", "net.autoencoder."])
@pytest.mark.parametrize("name", ["a.pt", "a.safetensors"])
def test_a_prefix_that_all_names_share_is_taken_off_and_said(tmp_path, plain, prefix, name):
    path = write(tmp_path, name, {prefix + key: value.contiguous() for key, value in two_layers().items()})
    assert f"begin with “{prefix}”, which was taken off" in same(path, plain)


def test_a_prefix_is_taken_off_in_front_of_numbers_too(tmp_path):
    w = linear() | {"encoder.bias": normal(H), "b_dec": normal(D), "k": torch.tensor(K), "threshold": torch.tensor(0.4)}
    config = {"trainer": {"dict_class": "BatchTopKSAE"}}
    path = write(tmp_path, "ae.pt", {"_orig_mod." + key: value for key, value in w.items()}, config=config)
    assert read_sae(path).threshold.unique().item() == pytest.approx(0.4)


def test_one_name_without_the_prefix_keeps_it(tmp_path):
    path = write(tmp_path, "a.pt", {"sae." + key: value for key, value in two_layers().items()} | {"other": normal(3)})
    with pytest.raises(CheckpointError, match="no layout known here. It holds: other .*sae.decoder.bias"):
        read_sae(path)


OPTIMISER = {"state": {0: {"exp_avg": normal(H, D)}}, "param_groups": [{"lr": 1e-3}]}


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda w: {"sae_state_dict": w, "config": {"d_model": D}},
        lambda w: {"model": w, "optimizer": OPTIMISER, "epoch": 3},
        lambda w: {"my own name": w, "step": 5},
        lambda w: {"run": {"weights": {"state_dict": w}}, "optimizer_state_dict": OPTIMISER},
        lambda w: {"sae": w, "model": {"lm_head.weight": normal(5, 6)}},
    ],
)
def test_a_state_dict_is_found_under_whatever_key_it_lies(tmp_path, plain, wrapped):
    same(write(tmp_path, "a.pt", wrapped(two_layers())), plain)


def test_of_two_dicts_of_tensors_neither_is_guessed(tmp_path):
    path = write(tmp_path, "a.pt", {"layer_0": two_layers(), "layer_1": two_layers()})
    with pytest.raises(CheckpointError, match=r"2 dicts of tensors \(layer_0, layer_1\), and nothing tells which"):
        describe(path)


def test_dicts_inside_one_another_without_end_are_not_followed(tmp_path):
    nested = two_layers()
    for _ in range(20):
        nested = {"deeper": nested}
    with pytest.raises(CheckpointError, match="no layout known here"):
        describe(write(tmp_path, "a.pt", nested))


# numpy, and what is no number


@pytest.mark.parametrize("old", [False, True])
def test_numbers_and_arrays_of_numpy_are_harmless(tmp_path, plain, old):
    beside = {"step": np.int64(1000), "loss": np.float64(0.25), "ok": np.bool_(True), "losses": np.ones(3, ">f4")}
    torch.save({"state_dict": two_layers(), **beside}, tmp_path / "a.pt", _use_new_zipfile_serialization=not old)
    same(tmp_path / "a.pt", plain)
    values = read_pickle(tmp_path / "a.pt")[1]
    assert (values["step"], values["loss"], values["ok"]) == (1000, 0.25, True)
    assert values["losses"].tolist() == [1, 1, 1]
    arrays = {name: np.asfortranarray(tensor.numpy()) for name, tensor in two_layers().items()}
    same(write(tmp_path, "arrays.pt", arrays | {"step": np.int64(2)}), plain)


class Huge:
    """An array that says it is larger than what follows."""

    def __reduce__(self):
        function, _, state = np.ones(4, np.float32).__reduce__()
        return function, (np.ndarray, (2**40,), b"b"), (1, (2**40, 8), *state[2:])


class Objects:
    def __reduce__(self):
        return np.array([1], dtype=object).__reduce__()


@pytest.mark.parametrize("hostile", [Huge(), Objects()])
def test_an_array_takes_no_memory_that_the_file_does_not_have(tmp_path, hostile):
    path = write(tmp_path, "a.pt", two_layers() | {"encoder.weight": hostile})
    with pytest.raises(CheckpointError, match="no layout known here"):
        describe(path)


def test_what_cannot_be_read_is_named_with_its_place_and_the_way_out(tmp_path):
    with_args = {"state_dict": two_layers(), "args": argparse.Namespace(k=3), "run": {"at": [pathlib.PosixPath("x")]}}
    with pytest.raises(CheckpointError) as refused:
        describe(write(tmp_path, "a.pt", with_args))
    said = str(refused.value)
    assert "would run argparse.Namespace, pathlib" in said and "It lies under 'args', 'run.at.0'" in said
    assert "torch.save(sae.state_dict()" in said


# what is not the file at all

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "4d7a" * 16 + "\nsize 16796032\n"
PAGE = "\n<!DOCTYPE html><html><title>Not found</title></html>"


@pytest.mark.parametrize("name", ["ae.pt", "sae_weights.safetensors", "params.npz", "a.bin", "cfg.json"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (POINTER, "is a Git LFS pointer, not the file itself, which has 16,796,032 bytes: run `git lfs pull`"),
        (PAGE, "is a web page, not the file itself: .* /resolve/"),
    ],
)
def test_pointers_and_pages_are_called_what_they_are(tmp_path, name, content, words):
    if name == "cfg.json":
        write(tmp_path, "sae_weights.safetensors", four())
    (tmp_path / name).write_text(content)
    with pytest.raises(CheckpointError, match=words):
        describe(tmp_path)


def test_no_library_is_heard_that_advises_to_load_unsafely(tmp_path):
    for content in (b"\x80\x02not a pickle", b"\x80\x05\x95" + bytes(99), b"hello world, this is text", bytes(400)):
        (tmp_path / "a.pt").write_bytes(content)
        with pytest.raises(CheckpointError) as refused:
            describe(tmp_path / "a.pt")
        said = str(refused.value)
        assert "cut short or damaged" in said and not re.search("weights_only|trust|allow|safe_globals", said)


# several files


def sharded(folder, weights, drop=()):
    names = list(weights)
    parts = {names[0]: 1, **dict.fromkeys(names[1:], 2)}
    folder.mkdir(parents=True)
    where = {}
    for number in (1, 2):
        file = f"sae_weights-0000{number}-of-00002.safetensors"
        save_file({name: weights[name].contiguous() for name, part in parts.items() if part == number}, folder / file)
        where |= {name: file for name, part in parts.items() if part == number}
    (folder / "sae_weights.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    for file in drop:
        (folder / file).unlink()
    return folder


def test_weights_in_several_files_are_read_by_their_index(tmp_path):
    reference = write(tmp_path / "one", "a.safetensors", four())
    folder = sharded(tmp_path / "many", four())
    for path in (folder, folder / "sae_weights-00002-of-00002.safetensors"):
        same(path, reference, BARE)
    before = checkpoint_hash(folder)
    changed = four() | {"b_dec": normal(D, seed=77)}
    assert before != checkpoint_hash(sharded(tmp_path / "other", changed)) != checkpoint_hash(reference)


def test_what_is_missing_of_several_files_is_named(tmp_path):
    part = "sae_weights-00002-of-00002.safetensors"
    with pytest.raises(CheckpointError, match=f"names 2 files, of which 1 are missing: {part}"):
        describe(sharded(tmp_path / "a", four(), [part]))
    index = "sae_weights.safetensors.index.json"
    with pytest.raises(CheckpointError, match="is one of several parts, and the index .* is not beside it"):
        describe(sharded(tmp_path / "b", four(), [index]))


@pytest.mark.parametrize("file", ["../secret.safetensors", "/etc/passwd", "..", "a\\b"])
def test_an_index_leads_nowhere_else(tmp_path, file):
    folder = sharded(tmp_path / "a", four())
    (folder / "sae_weights.safetensors.index.json").write_text(json.dumps({"weight_map": {"W_enc": file}}))
    with pytest.raises(CheckpointError, match="only files beside it are read"):
        describe(folder)


def test_the_size_of_all_files_is_bounded(tmp_path):
    with pytest.raises(CheckpointError, match="names files of .* more than the 1.0 KiB allowed"):
        describe(sharded(tmp_path / "a", four()), max_bytes=1024)


# turned


@pytest.mark.parametrize("names", [["W_dec"], ["W_enc"], ["W_enc", "W_dec"]])
def test_a_matrix_that_lies_the_other_way_round_is_turned_and_said(tmp_path, names):
    reference = write(tmp_path / "a", "w.safetensors", four())
    turned = four() | {name: four()[name].T.contiguous() for name in names}
    notes = same(write(tmp_path / "b", "w.safetensors", turned), reference, BARE)
    assert names == ["W_enc", "W_dec"] or f"{names[0]} " in notes and "the other way round" in notes
    cfg = {"d_in": D, "d_sae": H, "architecture": "standard"}
    same(write(tmp_path / "c", "sae_weights.safetensors", turned, cfg=cfg), reference, BARE)


# answers


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"normalize": "layer_norm"}, "saelens-legacy does not ask for normalize; by cfg.json, .* normalize = none"),
        ({"k": "3"}, "does not ask for k. The answer k = 3 would change nothing"),
        ({"apply_b_dec_to_input": "no"}, "it is read with apply_b_dec_to_input = yes"),
        ({"activation": "topk"}, "it is read with activation = relu"),
        ({"scaling_factor": "2"}, "does not ask for scaling_factor"),
        ({"threshold": "1"}, "does not ask for threshold"),
        ({"dict_class": "x"}, "does not ask for dict_class"),
    ],
)
def test_an_answer_that_nothing_asked_for_is_refused_by_name(tmp_path, answers, words):
    cfg = {"d_in": D, "d_sae": H, "architecture": "standard", "normalize_activations": "none"}
    path = write(tmp_path, "sae_weights.safetensors", four(), cfg=cfg)
    for reads in (describe, read_sae):
        with pytest.raises(CheckpointError, match=words):
            reads(path, answers=answers)
    assert read_sae(path, answers={"normalize": "none", "apply_b_dec_to_input": "yes"}).config.input_norm == "none"


def test_the_norm_of_openais_topk_is_assumed_aloud_and_can_be_answered(tmp_path):
    w = linear() | {"pre_bias": normal(D), "latent_bias": normal(H), "activation": "TopK"}
    path = write(tmp_path, "6.pt", w | {"activation_state_dict": {"k": K, "postact_fn": "ReLU"}})
    assert read_sae(path).config.input_norm == "layer_norm"
    told = describe(path)
    assert "layer_norm: no file says it" in " ".join(told.notes)
    assert next(q.candidates for q in told.questions if q.name == "normalize") == ("layer_norm", "none")
    f = keep_largest((inputs() - w["pre_bias"]) @ w["encoder.weight"].T + w["latent_bias"], K).relu()
    check(read_sae(path, answers={"normalize": "none"}), f, f @ w["decoder.weight"].T + w["pre_bias"])


def test_a_centred_residual_stream_is_read_without_its_mean(tmp_path):
    path, h, w = write(tmp_path, "a.safetensors", four()), inputs(), four()
    sae = read_sae(path, answers=BARE | {"center_writing_weights": "yes"})
    mean = h.mean(-1, keepdim=True)
    f = ((h - mean - w["b_dec"]) @ w["W_enc"] + w["b_enc"]).relu()
    check(sae, f, f @ w["W_dec"] + w["b_dec"] + mean)
    assert sae.is_plain and "center_writing_weights" in " ".join(sae.config.provenance["notes"])
    cfg = {"d_in": D, "d_sae": H, "metadata": {"model_from_pretrained_kwargs": {"center_writing_weights": True}}}
    assert read_sae(write(tmp_path / "b", "sae_weights.safetensors", w, cfg=cfg)).config.input_norm == "center"


# BatchTopK in mid-training


def batch_topk(folder, threshold):
    w = linear() | {"encoder.bias": normal(H, seed=2), "b_dec": normal(D, seed=3)}
    w |= {"k": torch.tensor(K, dtype=torch.int32), "threshold": torch.tensor(threshold)}
    return write(folder, "ae.pt", w, config={"trainer": {"dict_class": "BatchTopKSAE", "k": K}})


def test_the_threshold_of_a_batchtopk_is_the_files_a_number_or_k_of_each_token(tmp_path):
    path, w = batch_topk(tmp_path, -1.0), linear()
    p = (inputs() - normal(D, seed=3)) @ w["encoder.weight"].T + normal(H, seed=2)
    for answer, f in (
        ("file", p.relu()),
        ("per_token", keep_largest(p, K).relu()),
        ("0.75", jumprelu(p, 0.75)),
    ):
        sae = read_sae(path, answers={"threshold": answer})
        check(sae, f, f @ w["decoder.weight"].T + normal(D, seed=3))
        assert sae.config.provenance["batch_topk"]["settled"]
    told = describe(path).batch_topk
    assert told == {"k": K, "threshold": -1.0, "settled": False}


def test_an_answered_threshold_is_in_the_unit_of_what_is_shown(tmp_path):
    cfg = {"d_in": D, "d_sae": H, "architecture": "batchtopk", "k": K, "rescale_acts_by_decoder_norm": True}
    cfg |= {"normalize_activations": "expected_average_only_in", "apply_b_dec_to_input": False}
    w = four() | {"topk_threshold": torch.tensor(0.01, dtype=torch.float64)}
    path = write(tmp_path, "sae_weights.safetensors", w, cfg=cfg, activation_scaler={"scaling_factor": 3.0})
    sae = read_sae(path, answers={"threshold": "0.9"})
    f = sae.encode(inputs())
    assert f[f > 0].min() > 0.9 and (read_sae(path).encode(inputs()) > 0).sum() > (f > 0).sum()


# places and folders


@pytest.mark.parametrize(
    ("module", "hook"),
    [
        ("transformer.h.1", "blocks.1.hook_resid_post"),
        ("model.layers.1.mlp", "blocks.1.hook_mlp_out"),
        ("gpt_neox.layers.1", "blocks.1.hook_resid_post"),
        ("model.decoder.layers.2.self_attn", "blocks.2.hook_attn_out"),
        ("transformer.h.3.mlp.c_proj", "blocks.3.hook_mlp_out"),
        ("model.layers.3.mlp.down_proj.input", "blocks.3.mlp.hook_post"),
        ("model.layers.3.self_attn.o_proj.input", "blocks.3.attn.hook_z"),
        ("model.layers.3.input", "blocks.3.hook_resid_pre"),
        ("model.layers.3.output", "blocks.3.hook_resid_post"),
        ("transformer.blocks.4", "blocks.4.hook_resid_post"),
        ("model.layers.3.mlp.act_fn", None),
        ("model.layers.3.input_layernorm", None),
        ("blocks.3.mlp.hook_post", None),
    ],
)
def test_a_module_of_hugging_face_is_the_hook_point_of_its_output(module, hook):
    assert hook_names.of_module(module) == hook


def test_a_config_that_names_a_module_is_read_at_its_hook_point(tmp_path):
    cfg = {"d_in": D, "d_sae": H, "metadata": {"hook_name": "transformer.h.1"}}
    told = describe(write(tmp_path, "sae_weights.safetensors", four(), cfg=cfg))
    assert told.subject["hook_point"] == "blocks.1.hook_resid_post" and told.in_files["hook_point"] == "transformer.h.1"
    assert "transformer.h.1, which is named, is blocks.1.hook_resid_post here" in " ".join(told.notes)


def test_the_saes_of_a_run_are_found_and_its_other_files_are_not(tmp_path):
    for layer in ("layers.0", "layers.1.mlp"):
        write(tmp_path / "sparsify" / layer, "sae.safetensors", four())
    write(tmp_path / "sparsify", "optimizer_0.pt", {"state": {}})
    write(tmp_path / "sparsify", "state.pt", {"step": 3})
    assert [str(found.relative_to(tmp_path)) for found in find_saes(tmp_path / "sparsify")] == [
        "sparsify/layers.0",
        "sparsify/layers.1.mlp",
    ]
    for trainer in ("trainer_0", "trainer_1"):
        write(tmp_path / "dl" / trainer, "ae.pt", two_layers())
        write(tmp_path / "dl" / trainer / "checkpoints", "ae_0.pt", two_layers())
        write(tmp_path / "dl" / trainer / "checkpoints", "ae_6.pt", two_layers())
    found = [str(path.relative_to(tmp_path / "dl")) for path in find_saes(tmp_path / "dl")]
    assert found[:3] == ["trainer_0", "trainer_0/checkpoints/ae_0.pt", "trainer_0/checkpoints/ae_6.pt"]
    assert find_saes(tmp_path / "dl" / "trainer_0") == []


def test_a_models_files_are_called_what_they_are_too_and_nothing_advises_to_trust_them(tmp_path):
    small.write_model(tmp_path)
    (tmp_path / "model.safetensors").write_text(POINTER)
    with pytest.raises(ModelError, match="model.safetensors is a Git LFS pointer"):
        load_model(tmp_path, "cpu")
    (tmp_path / "config.json").write_text(PAGE)
    with pytest.raises(ModelError, match="config.json is a web page"):
        load_model(tmp_path, "cpu")
    advice = ValueError("Please pass the argument `trust_remote_code=True` to allow custom code to be run.")
    assert foreign_files.without_advice(advice, "it needs code") == "it needs code"
    (tmp_path / "ids.npy").write_bytes(pickle.dumps({"ids": [1, 2]}))  # numpy's words: "If you trust the file …"
    with pytest.raises(CorpusError, match="its bytes are not those of such a file"):
        open_rows(tmp_path / "ids.npy")


@pytest.mark.parametrize(
    ("answers", "learnt"), [({}, True), ({"threshold": "per_token"}, False), ({"threshold": "0.9"}, False)]
)
def test_a_note_speaks_of_the_threshold_learnt_where_that_one_is_read(tmp_path, answers, learnt):
    cfg = {"d_in": D, "d_sae": H, "architecture": "batchtopk", "k": K}
    w = four() | {"topk_threshold": torch.tensor(0.01, dtype=torch.float64)}
    sae = read_sae(write(tmp_path, "sae_weights.safetensors", w, cfg=cfg), answers=answers)
    assert any("the threshold learnt so far" in note for note in sae.config.provenance["notes"]) == learnt
