"""Each other library's formula, written out naively, against what is read from a file laid out its way."""

import json

import numpy as np
import pytest
import torch

from features.engine.sae.checkpoint import CheckpointError, describe, read_sae
from tests.engine.sae.sae_files import (
    D,
    H,
    K,
    check,
    close,
    four,
    inputs,
    jumprelu,
    keep_largest,
    linear,
    normal,
    restored,
    standardised,
    write,
)

# dictionary_learning


def trainer(kind, **settings):
    return {"trainer": {"dict_class": kind, "activation_dim": D, "dict_size": H, "lm_name": "m"} | settings}


def dl_topk(threshold=-1.0):
    w = linear() | {"encoder.bias": normal(H, seed=2), "b_dec": normal(D, seed=3)}
    return w | {"k": torch.tensor(K, dtype=torch.int32), "threshold": torch.tensor(threshold)}


def test_a_batchtopk_without_a_learnt_threshold_keeps_k_per_token(tmp_path):
    w, h = dl_topk(-1.0), inputs()
    sae = read_sae(write(tmp_path, "ae.pt", w, config=trainer("BatchTopKSAE")))
    f = keep_largest(((h - w["b_dec"]) @ w["encoder.weight"].T + w["encoder.bias"]).relu(), K)
    check(sae, f, f @ w["decoder.weight"].T + w["b_dec"])
    assert "not learnt yet" in " ".join(sae.config.provenance["notes"])


@pytest.mark.parametrize("kind", ["AutoEncoderTopK", "BatchTopKSAE"])
def test_without_a_config_the_class_is_asked_for(tmp_path, kind):
    w, h = dl_topk(0.9), inputs()
    path = write(tmp_path, "ae.pt", w)
    assert [q.name for q in describe(path).questions if q.required] == ["dict_class"]
    p = ((h - w["b_dec"]) @ w["encoder.weight"].T + w["encoder.bias"]).relu()
    f = keep_largest(p, K) if kind == "AutoEncoderTopK" else jumprelu(p, 0.9)
    check(read_sae(path, answers={"dict_class": kind}), f, f @ w["decoder.weight"].T + w["b_dec"])


def test_a_numbered_checkpoint_finds_its_config_one_level_up(tmp_path):
    write(
        tmp_path,
        "ae.pt",
        dl_topk(0.5),
        config=trainer("BatchTopKSAE", layer=4, submodule_name="resid_post_layer_4"),
    )
    sae = read_sae(write(tmp_path / "checkpoints", "ae_100.pt", dl_topk(0.9)))
    assert sae.config.hook_point == "blocks.4.hook_resid_post"
    assert sae.threshold.unique().item() == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("named", "hook"),
    [
        ({"layer": 8, "submodule_name": "resid_post"}, "blocks.8.hook_resid_post"),
        ({"layer": 8, "submodule_name": "mlp_out"}, "blocks.8.hook_mlp_out"),
        ({"layer": 8, "submodule_name": "model.layers.3.mlp"}, "blocks.3.hook_mlp_out"),
        ({"layer": 8, "submodule_name": "mlp"}, None),  # its input or its output
        ({"layer": 8}, None),
    ],
)
def test_dictionary_learning_names_the_hook_and_the_layer_together_or_apart(tmp_path, named, hook):
    path = write(tmp_path, "ae.pt", dl_topk(0.5), config=trainer("BatchTopKSAE", **named))
    assert read_sae(path).config.hook_point == hook


# sparsify


def coder(**settings):
    w = {k: v for k, v in linear().items() if k.startswith("enc")}
    w |= {"encoder.bias": normal(H, seed=2), "W_dec": normal(H, D, seed=1), "b_dec": normal(D, seed=3)}
    return w, {
        "d_in": D,
        "expansion_factor": H // D,
        "num_latents": 0,
        "k": K,
        "activation": "topk",
    } | settings


def test_sparsify_signed_keeps_the_largest_without_relu(tmp_path):
    (w, cfg), h = coder(signed=True, k=H - 2), inputs()
    sae = read_sae(write(tmp_path / "h.5", "sae.safetensors", w, cfg=cfg).parent)
    f = keep_largest((h - w["b_dec"]) @ w["encoder.weight"].T + w["encoder.bias"], H - 2)
    assert (f < 0).any()
    check(sae, f, f @ w["W_dec"] + w["b_dec"])


def test_sparsify_groupmax_keeps_the_largest_of_each_group(tmp_path):
    (w, cfg), h = coder(activation="groupmax"), inputs()
    sae = read_sae(write(tmp_path / "layers.2.mlp", "sae.safetensors", w, cfg=cfg).parent)
    p = ((h - w["b_dec"]) @ w["encoder.weight"].T + w["encoder.bias"]).relu()
    f = torch.cat([keep_largest(group, 1) for group in p.split(H // K, dim=-1)], dim=-1)
    check(sae, f, f @ w["W_dec"] + w["b_dec"])


@pytest.mark.parametrize(
    ("folder", "hook"),
    [
        ("layers.3", "blocks.3.hook_resid_post"),
        ("h.5", "blocks.5.hook_resid_post"),
        ("layers.3.mlp", "blocks.3.hook_mlp_out"),
        ("layers.3.self_attn", "blocks.3.hook_attn_out"),
        ("embed_tokens", "hook_embed"),
        ("something", None),
    ],
)
def test_sparsify_folders_name_the_hook_and_the_run_the_model(tmp_path, folder, hook):
    w, cfg = coder()
    (tmp_path / "config.json").write_text('{"model": "EleutherAI/pythia-160m", "ctx_len": 2048}')
    config = read_sae(write(tmp_path / folder, "sae.safetensors", w, cfg=cfg)).config
    assert (config.hook_point, config.model_name, config.context_size) == (
        hook,
        "EleutherAI/pythia-160m",
        2048,
    )


# OpenAI


def openai(**more):
    biases = {"pre_bias": normal(D, seed=3), "latent_bias": normal(H, seed=2)}
    statistics = {"stats_last_nonzero": torch.zeros(H, dtype=torch.int64)}
    return linear() | biases | statistics | more


@pytest.mark.parametrize(("named", "act"), [({}, torch.relu), ({"activation": "Identity"}, lambda p: p)])
def test_openai_without_topk_has_no_input_norm(tmp_path, named, act):
    w, h = openai(**named), inputs()
    path = write(tmp_path / "gpt2-small" / "mlp_post_act_v4" / "autoencoders", "6.pt", w)
    f = act((h - w["pre_bias"]) @ w["encoder.weight"].T + w["latent_bias"])
    check(read_sae(path), f, f @ w["decoder.weight"].T + w["pre_bias"])
    config = read_sae(path).config
    assert (config.model_name, config.hook_point) == ("gpt2-small", "blocks.6.mlp.hook_post")


def test_openai_topk_normalises_each_input(tmp_path):
    state = {"k": K, "postact_fn": "ReLU"}
    w, h = openai(activation="TopK", activation_state_dict=state), inputs()
    path = write(tmp_path / "resid_post_attn_v5_32k" / "autoencoders", "11.pt", w)
    x = standardised(h)
    f = keep_largest(((x - w["pre_bias"]) @ w["encoder.weight"].T + w["latent_bias"]).relu(), K)
    check(read_sae(path), f, restored(f @ w["decoder.weight"].T + w["pre_bias"], h))
    assert read_sae(path).config.hook_point == "blocks.11.hook_resid_mid"


def test_openai_tied_decoders_are_the_encoder(tmp_path):
    w, h = openai(), inputs()
    del w["decoder.weight"]
    f = ((h - w["pre_bias"]) @ w["encoder.weight"].T + w["latent_bias"]).relu()
    check(read_sae(write(tmp_path, "3.pt", w)), f, f @ w["encoder.weight"] + w["pre_bias"])


# Gemma Scope


def gemma(folder):
    w = four() | {"threshold": normal(H, seed=8).abs()}
    folder.mkdir(parents=True)
    np.savez(folder / "params.npz", **{name: tensor.numpy() for name, tensor in w.items()})
    return w


def test_gemma_scope_has_no_pre_bias_and_its_path_names_the_subject(tmp_path):
    h = inputs()
    folder = tmp_path / "google" / "gemma-scope-2b-pt-mlp" / "layer_20" / "width_16k" / "average_l0_71"
    w = gemma(folder)
    p = h @ w["W_enc"] + w["b_enc"]
    f = jumprelu(p, w["threshold"])
    check(read_sae(folder), f, f @ w["W_dec"] + w["b_dec"])
    config = read_sae(folder).config
    assert (config.model_name, config.hook_point) == ("gemma-2-2b", "blocks.20.hook_mlp_out")


def test_a_link_into_a_download_cache_keeps_its_name(tmp_path):
    blobs = tmp_path / "blobs"
    gemma(blobs)
    folder = tmp_path / "snapshots" / "gemma-scope-9b-it-res" / "layer_9"
    folder.mkdir(parents=True)
    (folder / "params.npz").symlink_to(blobs / "params.npz")
    config = read_sae(folder).config
    assert (config.model_name, config.hook_point) == ("gemma-2-9b-it", "blocks.9.hook_resid_post")


def test_gemma_scope_on_embeddings_divides_by_the_root_of_the_width(tmp_path):
    h = inputs()
    folder = tmp_path / "gemma-scope-2b-pt-res" / "embedding" / "width_4k" / "average_l0_6"
    w = gemma(folder)
    p = (h / D**0.5) @ w["W_enc"] + w["b_enc"]
    f = jumprelu(p, w["threshold"])
    sae = read_sae(folder)
    check(sae, f, (f @ w["W_dec"] + w["b_dec"]) * D**0.5)
    assert sae.config.hook_point == "hook_embed"


def test_gemma_scope_2_writes_its_names_small(tmp_path):
    h = inputs()
    w = four() | {"threshold": normal(H, seed=8).abs()}
    small = {name.lower(): tensor for name, tensor in w.items()}
    config = {"model_name": "google/gemma-3-1b-pt", "hf_hook_point_in": "model.layers.7.output"}
    sae = read_sae(write(tmp_path, "params.safetensors", small, config=config).parent)
    p = h @ w["W_enc"] + w["b_enc"]
    f = jumprelu(p, w["threshold"])
    check(sae, f, f @ w["W_dec"] + w["b_dec"])
    assert (sae.config.format, sae.config.hook_point) == ("gemma-scope-2", "blocks.7.hook_resid_post")


@pytest.mark.parametrize(
    ("said", "folder", "hook"),
    [
        ("model.layers.17.post_feedforward_layernorm.output", "x", "blocks.17.hook_mlp_out"),
        ("model.layers.11.self_attn.o_proj.input", "attn_out_all/layer_11_width_16k_l0_small", "blocks.11.attn.hook_z"),
        (None, "mlp_out/layer_17_width_16k_l0_big", "blocks.17.hook_mlp_out"),
        (None, "resid_post_all/layer_3_width_262k_l0_small", "blocks.3.hook_resid_post"),
        (None, "elsewhere", None),
        ("model.layers.11.self_attn", "elsewhere", None),
    ],
)
def test_gemma_scope_2_says_its_place_in_its_config_or_by_its_folder(tmp_path, said, folder, hook):
    small = {name.lower(): tensor for name, tensor in (four() | {"threshold": normal(H, seed=8).abs()}).items()}
    config = {"config": {"hf_hook_point_in": said}} if said else {}
    where = tmp_path / "gemma-scope-2-1b-pt" / folder
    where.mkdir(parents=True)
    sae = read_sae(write(where, "params.safetensors", small, **config).parent)
    assert (sae.config.hook_point, sae.config.model_name) == (hook, "google/gemma-3-1b-pt")


# two linear layers


def two_layers(encoder="encoder", decoder="decoder"):
    biases = {f"{encoder}.bias": normal(H, seed=2), f"{decoder}.bias": normal(D, seed=3)}
    return linear(encoder, decoder) | biases


def test_goodfire_is_two_linear_layers_in_half_precision(tmp_path):
    w = {k: v.bfloat16() for k, v in two_layers("encoder_linear", "decoder_linear").items()}
    sae = read_sae(write(tmp_path, "Llama-3.1-8B-Instruct-SAE-l19.pth", w))
    w, h = {k: v.float() for k, v in w.items()}, inputs()
    f = (h @ w["encoder_linear.weight"].T + w["encoder_linear.bias"]).relu()
    check(sae, f, f @ w["decoder_linear.weight"].T + w["decoder_linear.bias"])
    assert sae.config.hook_point == "blocks.19.hook_resid_post"


def test_deepseek_is_two_linear_layers_with_no_pre_bias(tmp_path):
    w, h = two_layers(), inputs()
    f = (h @ w["encoder.weight"].T + w["encoder.bias"]).relu()
    check(read_sae(write(tmp_path, "l19.pt", w)), f, f @ w["decoder.weight"].T + w["decoder.bias"])


@pytest.mark.parametrize("by_norm", [True, False])
def test_llama_scope_is_read_in_the_models_own_unit(tmp_path, by_norm):
    w, h = two_layers(), inputs()
    norm, threshold = 5.5, 0.4
    scale = D**0.5 / norm
    params = {
        "d_model": D,
        "d_sae": H,
        "jump_relu_threshold": threshold,
        "dataset_average_activation_norm": {"in": norm, "out": norm},
        "hook_point_in": "blocks.7.hook_resid_post",
        "sparsity_include_decoder_norm": by_norm,
    }
    write(tmp_path / "checkpoints", "final.safetensors", w)
    (tmp_path / "hyperparams.json").write_text(json.dumps(params))
    sae = read_sae(tmp_path)
    p = (scale * h @ w["encoder.weight"].T + w["encoder.bias"]) / scale  # in the unit of h
    size = w["decoder.weight"].norm(dim=0) if by_norm else torch.ones(H)
    f = p.relu() * (p * size > threshold)
    close(sae.encode(h), f * size)
    close(sae.decode(sae.encode(h)), f @ w["decoder.weight"].T + w["decoder.bias"] / scale)
    assert sae.config.hook_point == "blocks.7.hook_resid_post"


def llama_scope(folder, w, **settings):
    hook = "blocks.7.hook_resid_post"
    config = {"d_model": D, "hook_point_in": hook, "hook_point_out": hook, "jump_relu_threshold": 0.3} | settings
    return write(folder, "final.safetensors", w, hyperparams=config)


def test_llama_scope_before_it_becomes_a_jumprelu_keeps_k(tmp_path):
    w, h = two_layers(), inputs()
    norms = {"dataset_average_activation_norm": {"in": 5.5}, "sparsity_include_decoder_norm": True}
    path = llama_scope(tmp_path, w, act_fn="topk", top_k=K, jump_relu_threshold=0.0, **norms)
    scale, size = D**0.5 / 5.5, w["decoder.weight"].norm(dim=0)
    p = (scale * h @ w["encoder.weight"].T + w["encoder.bias"]) / scale * size
    f = keep_largest(p, K).relu()
    sae = read_sae(path)
    check(sae, f, f / size @ w["decoder.weight"].T + w["decoder.bias"] / scale)
    assert sae.config.k == K


def test_llama_scope_with_a_pre_bias_and_every_token_rescaled(tmp_path):
    w, h = two_layers(), inputs()
    path = llama_scope(tmp_path, w, norm_activation="token-wise", apply_decoder_bias_to_pre_encoder=True)
    scale = D**0.5 / h.norm(dim=-1, keepdim=True)
    p = (scale * h - w["decoder.bias"]) @ w["encoder.weight"].T + w["encoder.bias"]
    f = jumprelu(p, 0.3)
    close(read_sae(path).encode(h), f)
    close(read_sae(path).decode(f, h), (f @ w["decoder.weight"].T + w["decoder.bias"]) / scale)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"hook_point_out": "blocks.7.hook_mlp_out"}, "a transcoder from blocks.7.hook_resid_post to blocks"),
        ({"norm_activation": "batch-wise"}, "norm_activation batch-wise is none of"),
    ],
)
def test_llama_scope_with_another_formula_is_refused(tmp_path, settings, words):
    with pytest.raises(CheckpointError, match=words):
        read_sae(llama_scope(tmp_path, two_layers(), **settings))


def test_llama_scope_r1_stores_thresholds_and_norms_as_tensors(tmp_path):
    w, h = two_layers(), inputs()
    log, norm, hook = normal(H, seed=9), 5.5, "blocks.7.hook_resid_post"
    scale = D**0.5 / norm
    more = {"log_jumprelu_threshold": log, f"dataset_average_activation_norm.{hook}": torch.tensor(norm)}
    config = {"d_model": D, "hook_point_in": hook, "norm_activation": "dataset-wise"}
    sae = read_sae(write(tmp_path, "sae_weights.safetensors", w | more, config=config))
    p = scale * h @ w["encoder.weight"].T + w["encoder.bias"]
    f = jumprelu(p, log.exp()) / scale
    check(sae, f, f @ w["decoder.weight"].T + w["decoder.bias"] / scale)
