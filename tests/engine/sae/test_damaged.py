"""Damaged and foreign files are refused in one sentence that names both numbers and the way out."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from features.engine.sae.checkpoint import CheckpointError, describe, read_sae
from tests.engine.sae.sae_files import D, H, K, four, linear, normal, write

DATA = Path(__file__).parents[2] / "data" / "checkpoints"
BARE = {"apply_b_dec_to_input": True}


def saelens(folder, tensors=None, **settings):
    cfg = {"d_in": D, "d_sae": H, "architecture": "standard"} | settings
    return write(folder, "sae_weights.safetensors", four() if tensors is None else tensors, cfg=cfg).parent


def refused(path, words, answers=BARE, **options):
    """Reading and describing both refuse, in the same words."""
    with pytest.raises(CheckpointError, match=words):
        read_sae(path, answers=answers, **options)
    with pytest.raises(CheckpointError, match=words):
        describe(path, answers=answers, **options)


# damaged


@pytest.mark.parametrize("name", ["a.safetensors", "a.pt"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.99])
def test_a_file_cut_short_is_called_so_with_its_size(tmp_path, name, share):
    path = write(tmp_path, name, four())
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    refused(path, rf"{name} \({path.stat().st_size:,} bytes\) is cut short")


def test_an_npz_cut_short_is_called_so(tmp_path):
    np.savez(tmp_path / "params.npz", **{k: v.numpy() for k, v in four().items()})
    content = (tmp_path / "params.npz").read_bytes()
    (tmp_path / "params.npz").write_bytes(content[: len(content) // 2])
    refused(tmp_path / "params.npz", "cut short")


def test_an_old_style_file_cut_short_is_called_so(tmp_path):
    torch.save(four(), tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    assert read_sae(tmp_path / "a.pt", answers=BARE).config.d_sae == H
    content = (tmp_path / "a.pt").read_bytes()
    (tmp_path / "a.pt").write_bytes(content[: len(content) // 2])
    refused(tmp_path / "a.pt", "cut short or damaged")


def test_text_under_the_name_of_weights_is_refused(tmp_path):
    (tmp_path / "a.pt").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1234\nsize 268\n")
    refused(tmp_path / "a.pt", "is a Git LFS pointer, not the file itself, which has 268 bytes: run `git lfs pull`")


@pytest.mark.parametrize(("value", "words"), [(float("nan"), "3 NaN and 0 infinite"), (float("inf"), "0 NaN and 3")])
@pytest.mark.parametrize("name", ["W_enc", "W_dec", "b_enc", "b_dec"])
def test_broken_numbers_are_counted_and_their_tensor_named(tmp_path, name, value, words):
    tensors = four()
    tensors[name].view(-1)[:3] = value
    with pytest.raises(CheckpointError, match=f"{name} has {words}"):
        read_sae(saelens(tmp_path, tensors))


def test_large_numbers_are_not_taken_for_broken_ones(tmp_path):
    huge = four() | {"W_dec": torch.full((H, D), 3e38)}  # their sum is beyond float32
    assert read_sae(saelens(tmp_path, huge)).W_dec.max().item() == pytest.approx(3e38)


@pytest.mark.parametrize("key", ["d_in", "d_sae"])
def test_a_config_of_another_width_is_refused_with_both_numbers(tmp_path, key):
    held = {"d_in": D, "d_sae": H}[key]
    refused(saelens(tmp_path, **{key: 4096}), f"config says {key} = 4096, the weights say {held}", answers={})


def test_tensors_of_two_widths_are_refused_with_both_shapes(tmp_path):
    refused(
        saelens(tmp_path, four() | {"W_dec": normal(H + 1, D)}),
        r"W_dec has shape \[25, 8\], W_enc \[8, 24\]",
        {},
    )
    refused(
        saelens(tmp_path, four() | {"b_enc": normal(D)}),
        r"b_enc has shape \[8\], 24 values were expected",
        {},
    )
    refused(saelens(tmp_path, four() | {"W_enc": normal(D * H)}), r"W_enc has shape \[192\], a matrix", {})


def test_whole_numbers_are_no_weights(tmp_path):
    refused(saelens(tmp_path, four() | {"W_enc": torch.ones(D, H, dtype=torch.int64)}), r"W_enc \(I64\)", {})


# half written


def test_a_config_without_weights_looks_half_written(tmp_path):
    (tmp_path / "cfg.json").write_text("{}")
    refused(tmp_path, "has a config but no weights")


def test_weights_without_the_config_that_says_their_formula_are_refused(tmp_path):
    folder = saelens(tmp_path)
    (folder / "cfg.json").unlink()
    refused(folder, "no cfg.json beside it")


def test_half_a_config_is_refused(tmp_path):
    folder = saelens(tmp_path)
    (folder / "cfg.json").write_text('{"d_in": 8, "d_s')
    refused(folder, "cfg.json is no JSON")


@pytest.mark.parametrize("content", ["[1, 2]", '"text"', "null"])
def test_a_config_that_is_no_object_is_refused(tmp_path, content):
    folder = saelens(tmp_path)
    (folder / "cfg.json").write_text(content)
    refused(folder, "not an object with settings")


@pytest.mark.parametrize(
    "settings",
    [
        {"architecture": ["topk"]},
        {"architecture": "topk", "k": "many"},
        {"architecture": "topk", "k": [1]},
        {"metadata": "none"},
        {"metadata": {"model_name": ["gelu-1l"]}},
        {"apply_b_dec_to_input": "perhaps"},
        {"normalize_activations": {"a": 1}},
        {"activation_fn": 5},
        {"architecture": "topk", "activation_fn_kwargs": 3},
    ],
)
def test_a_config_of_the_wrong_kinds_never_ends_in_a_traceback(tmp_path, settings):
    refused(saelens(tmp_path, **settings), r"\S+ \S+", answers={})


def test_a_pre_bias_that_the_config_leaves_null_is_subtracted_as_by_default(tmp_path):
    assert torch.equal(
        read_sae(saelens(tmp_path, apply_b_dec_to_input=None)).b_enc,
        read_sae(saelens(tmp_path, apply_b_dec_to_input=True)).b_enc,
    )


@pytest.mark.parametrize("factor", [0, -1.0, float("inf"), float("nan")])
def test_a_factor_that_would_empty_the_weights_is_refused(tmp_path, factor):
    folder = saelens(tmp_path, normalize_activations="expected_average_only_in")
    (folder / "activation_scaler.json").write_text(json.dumps({"scaling_factor": factor}))
    refused(folder, "scaling factor .* is no positive number", answers={})


def test_a_missing_tensor_is_named_with_those_that_are_there(tmp_path):
    tensors = four()
    del tensors["b_enc"]
    refused(saelens(tmp_path, tensors), "needs b_enc; the file holds W_dec, W_enc, b_dec", answers={})


def test_a_tensor_too_many_is_named(tmp_path):
    refused(saelens(tmp_path, four() | {"W_skip": normal(D, D)}), "has no W_skip. Loading it without", answers={})


def test_an_empty_folder_and_no_folder_are_told_apart(tmp_path):
    refused(tmp_path, "holds no weight file")
    refused(tmp_path / "nowhere", "does not exist")


def test_of_several_weight_files_one_must_be_named(tmp_path):
    write(tmp_path, "25.pt", four(), **{"25_cfg": {"d_mlp": D}})
    write(tmp_path, "47.pt", four())
    refused(tmp_path, r"2 weight files \(25.pt, 47.pt\). Name the one")
    assert read_sae(tmp_path / "25.pt").config.format == "neel"


def test_of_several_folders_one_must_be_named(tmp_path):
    for layer in ("layers.0", "layers.1"):
        write(tmp_path / layer, "sae.safetensors", four())
    refused(tmp_path, "in folders of its own: layers.0, layers.1. Name the one")


# foreign


def test_an_unknown_layout_is_listed_beside_the_known_ones(tmp_path):
    path = write(tmp_path, "a.pt", {"lm_head.weight": normal(5, 6), "wte": normal(6, 5)})
    refused(path, r"no layout known here. It holds: lm_head.weight \[5, 6\], wte \[6, 5\]. Known: Neel Nanda")


@pytest.mark.parametrize("kind", ["matching_pursuit", "temporal", "transcoder", "skip_transcoder", "of_the_future"])
def test_saelens_architectures_outside_the_formula_are_refused_with_the_reason(tmp_path, kind):
    refused(
        saelens(tmp_path, architecture=kind),
        f"architecture {kind} (chooses|reads|predicts|is none)",
        answers={},
    )


def test_a_matching_pursuit_sae_is_refused_for_its_rule_and_not_for_its_missing_encoder(tmp_path):
    w = {name: tensor for name, tensor in four().items() if name.endswith("dec")}
    refused(saelens(tmp_path, w, architecture="matching_pursuit"), "chooses its features one after", answers={})


def test_whitened_training_is_refused_with_the_way_out(tmp_path):
    refused(saelens(tmp_path, normalize_activations="covariance_whitening"), "Let SAELens fold it", answers={})


@pytest.mark.parametrize("settings", [{"transcode": True}, {"skip_connection": True}])
def test_sparsify_transcoders_are_refused(tmp_path, settings):
    w = {"encoder.weight": normal(H, D), "encoder.bias": normal(H), "W_dec": normal(H, D), "b_dec": normal(D)}
    refused(write(tmp_path, "sae.safetensors", w, cfg={"d_in": D, "k": K} | settings), "transcoder", answers={})


def test_a_gemma_scope_2_transcoder_is_refused(tmp_path):
    w = {name.lower(): tensor for name, tensor in four().items()} | {"threshold": normal(H)}
    config = {"hf_hook_point_in": "model.layers.1.a.output", "hf_hook_point_out": "model.layers.1.b.output"}
    refused(write(tmp_path, "params.safetensors", w, config=config), "transcoder", answers={})


@pytest.mark.parametrize("folder", ["transcoder_all", "clt", "crosscoder", "gemma-scope-2b-pt-transcoders"])
def test_a_gemma_scope_transcoder_without_a_config_is_told_by_its_folder(tmp_path, folder):
    w = {name.lower(): tensor for name, tensor in four().items()} | {"threshold": normal(H)}
    (tmp_path / folder / "layer_1").mkdir(parents=True)
    refused(write(tmp_path / folder / "layer_1", "params.safetensors", w), "transcoder", answers={})


def test_a_transcoder_of_the_first_gemma_scope_is_refused(tmp_path):
    np.savez(tmp_path / "params.npz", **{name.lower(): tensor.numpy() for name, tensor in four().items()})
    refused(tmp_path / "params.npz", "transcoder", answers={})


def test_an_openai_activation_that_is_not_known_is_refused(tmp_path):
    w = linear() | {"pre_bias": normal(D), "latent_bias": normal(H), "activation": "Swish"}
    refused(write(tmp_path, "6.pt", w), "activation Swish", answers={})
