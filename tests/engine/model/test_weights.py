"""Weights and settings of a model that do not fit are refused by name; wrappers' prefixes are taken off, and said."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from features.engine.model.config import ModelError
from features.engine.model.language_model import load_model

from .. import small
from .families import write

IDS = torch.tensor([[0, 9, 8, 7]])


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama")
    write(folder, "Llama")
    return folder


def changed(folder, to, change):
    """A copy of a model whose tensors are `change(tensors)`."""
    shutil.copytree(folder, to)
    path = to / "model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})
    return to


def without(*parts):
    return lambda tensors: {name: t for name, t in tensors.items() if not any(part in name for part in parts)}


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module._orig_mod.", "model."])
def test_a_prefix_that_all_names_share_is_taken_off_and_said(llama, tmp_path, prefix):
    prefixed = changed(llama, tmp_path / "m", lambda tensors: {prefix + name: t for name, t in tensors.items()})
    found, plain = load_model(prefixed, "cpu"), load_model(llama, "cpu")
    h = [model.activations(IDS, "blocks.1.hook_resid_post") for model in (found, plain)]
    torch.testing.assert_close(*h, rtol=0, atol=0)
    assert plain.notes == () and [prefix in note and "taken off" in note for note in found.notes] == [True]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (without("layers.1."), "missing model.layers.1.input_layernorm.weight.* more"),
        (without("lm_head"), "missing lm_head.weight"),
        (lambda t: t | {"model.layers.0.self_attn.q_proj.bias": torch.ones(32)}, "left over .*q_proj.bias"),
        (lambda t: t | {"model.norm.weight": torch.ones(16)}, r"model.norm.weight is \[16\] instead of \[32\]"),
        (lambda t: {f"net.{name}": w for name, w in without("layers.1.")(t).items()}, "begin with `net.model.`|`net.`"),
    ],
)
def test_weights_that_do_not_fit_their_class_are_named(llama, tmp_path, change, says):
    with pytest.raises(ModelError, match=says):
        load_model(changed(llama, tmp_path / "m", change), "cpu")


def test_constants_that_earlier_versions_stored_are_no_weights(llama, tmp_path):
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    load_model(changed(llama, tmp_path / "m", lambda tensors: tensors | {name: torch.ones(4)}), "cpu")


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t | {"blocks.0.attn.b_X": torch.ones(3)}, "left over blocks.0.attn.b_X"),
        (lambda t: t | {"ln_final.w": torch.ones(3)}, r"ln_final.w is \[3\] instead of \[16\]"),
        (without("mlp.W_in"), "missing blocks.0.mlp.W_in"),
    ],
)
def test_weights_in_transformer_lens_names_fit_their_config_or_are_named(tmp_path, layers, change, says):
    small.write_model(tmp_path / "plain", layers)
    with pytest.raises(ModelError, match=says):
        load_model(changed(tmp_path / "plain", tmp_path / "m", change), "cpu")


@pytest.mark.parametrize("layers", [1, 2])
def test_a_prefix_of_transformer_lens_names_is_taken_off(tmp_path, layers):
    small.write_model(tmp_path / "plain", layers)
    buffers = {"blocks.0.attn.mask": torch.ones(2, 2), "blocks.0.attn.IGNORE": torch.tensor(-1e5)}
    prefixed = changed(
        tmp_path / "plain", tmp_path / "m", lambda t: {f"module.{n}": w for n, w in (t | buffers).items()}
    )
    found, plain = (load_model(folder, "cpu") for folder in (prefixed, tmp_path / "plain"))
    h = [model.activations(IDS, "blocks.0.hook_resid_post") for model in (found, plain)]
    torch.testing.assert_close(*h, rtol=0, atol=0)
    assert "`module.`" in found.notes[0]


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("parallel_attn_mlp", True), ("use_attn_scale", False), ("attn_scale", 3.0), ("attention_dir", "bidirectional"),
        ("output_logits_soft_cap", 5.0), ("attn_scores_soft_cap", 5.0), ("final_rms", True), ("use_local_attn", True),
        ("use_normalization_before_and_after", True), ("post_embedding_ln", True), ("n_key_value_heads", 1),
        ("gated_mlp", True), ("scale_attn_by_inverse_layer_idx", True), ("of_tomorrow", 1), ("d_vocab_out", 9),
    ],
)  # fmt: skip
def test_settings_that_change_the_model_and_are_not_read_are_refused_by_name(tmp_path, layers, name, value):
    config = small.write_model(tmp_path, layers)
    (tmp_path / "config.json").write_text(json.dumps(config | {name: value}))
    with pytest.raises(ModelError, match=f"{name} = .*not read"):
        load_model(tmp_path, "cpu")


def test_settings_as_transformer_lens_writes_them_are_harmless(tmp_path):
    config = small.write_model(tmp_path)
    usual = dict(
        parallel_attn_mlp=False, use_attn_scale=True, attn_scale=small.D_HEAD**0.5, attention_dir="causal", seed=None,
        output_logits_soft_cap=-1.0, n_key_value_heads=None, d_vocab_out=config["d_vocab"], rotary_base=10000,
        window_size=None, attn_types=None, model_name="mine", dtype="torch.float32", rotary_dim=None, n_params=123,
    )  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config | usual))
    load_model(tmp_path, "cpu")


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (dict(model_type="minicpm3"), "of a kind, minicpm3, that"),
        (dict(model_type="nobody_knows"), "of a kind, nobody_knows, that"),
    ],
)
def test_a_kind_of_model_that_is_not_known_is_named(llama, tmp_path, config, says):
    shutil.copytree(llama, tmp_path / "m")
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=says):
        load_model(tmp_path / "m", "cpu")
