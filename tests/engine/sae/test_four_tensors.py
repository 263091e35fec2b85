"""Four tensors, many formulas: Neel Nanda, Bussmann and SAELens written out, against what is read."""

import sys
import types

import numpy as np
import pytest
import torch

from features.engine.sae.checkpoint import describe, read_sae
from tests.engine.sae.sae_files import (
    D,
    H,
    K,
    check,
    four,
    inputs,
    jumprelu,
    keep_largest,
    normal,
    restored,
    standardised,
    write,
)

# Neel Nanda, Bussmann, bare


def test_neel_subtracts_the_decoder_bias_first(tmp_path):
    w, h = four(), inputs()
    config = {"d_mlp": D, "dict_mult": H / D, "enc_dtype": "fp32"}
    sae = read_sae(write(tmp_path, "25.pt", w, **{"25_cfg": config}))
    f = ((h - w["b_dec"]) @ w["W_enc"] + w["b_enc"]).relu()
    check(sae, f, f @ w["W_dec"] + w["b_dec"])
    assert sae.config.format == "neel" and sae.config.hook_point is None


def test_neel_takes_the_config_of_the_same_number(tmp_path):
    write(tmp_path, "25.pt", four(), **{"25_cfg": {"d_mlp": D, "dict_mult": 99}})
    write(
        tmp_path,
        "47.pt",
        four(),
        **{"47_cfg": {"act_size": D, "dict_size": H, "act_name": "blocks.0.mlp.hook_post"}},
    )
    assert read_sae(tmp_path / "47.pt").config.hook_point == "blocks.0.mlp.hook_post"


BUSSMANN = {
    "act_size": D,
    "dict_size": H,
    "top_k": K,
    "hook_point": "blocks.8.hook_resid_pre",
    "model_name": "gpt2",
}


@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize("kind", ["vanilla", "topk"])
def test_bussmann_by_sae_type_and_input_norm(tmp_path, kind, unit):
    w, h = four(), inputs()
    config = BUSSMANN | {"sae_type": kind, "input_unit_norm": unit}
    sae = read_sae(write(tmp_path, "sae.pt", w, config=config))
    x = standardised(h) if unit else h
    f = ((x - w["b_dec"]) @ w["W_enc"] + w["b_enc"]).relu()
    f = keep_largest(f, K) if kind == "topk" else f
    back = f @ w["W_dec"] + w["b_dec"]
    check(sae, f, restored(back, h) if unit else back)
    assert (sae.config.format, sae.config.model_name) == ("bussmann", "gpt2")


def test_bussmann_batchtopk_with_a_threshold_or_per_token(tmp_path):
    w, h = four(), inputs()
    path = write(tmp_path, "sae.pt", w, config=BUSSMANN | {"sae_type": "batchtopk"})
    p = ((h - w["b_dec"]) @ w["W_enc"] + w["b_enc"]).relu()
    f = jumprelu(p, 0.7)
    check(read_sae(path, answers={"threshold": 0.7}), f, f @ w["W_dec"] + w["b_dec"])
    f = keep_largest(p, K)
    check(read_sae(path, answers={"threshold": "per_token"}), f, f @ w["W_dec"] + w["b_dec"])


def test_bussmann_jumprelu_has_no_pre_bias_and_a_log_threshold(tmp_path):
    w, h = four(), inputs()
    log = normal(H, seed=5)
    tensors = w | {"jumprelu.log_threshold": log}
    sae = read_sae(write(tmp_path, "sae.pt", tensors, config=BUSSMANN | {"sae_type": "jumprelu"}))
    p = (h @ w["W_enc"] + w["b_enc"]).relu()
    f = jumprelu(p, log.exp())
    check(sae, f, f @ w["W_dec"] + w["b_dec"])


@pytest.mark.parametrize("pre", [True, False])
@pytest.mark.parametrize("name", ["sae.safetensors", "sae.pt"])
def test_a_bare_file_is_read_once_the_pre_bias_is_known(tmp_path, name, pre):
    w, h = four(), inputs()
    sae = read_sae(write(tmp_path, name, w), answers={"apply_b_dec_to_input": pre})
    f = ((h - pre * w["b_dec"]) @ w["W_enc"] + w["b_enc"]).relu()
    check(sae, f, f @ w["W_dec"] + w["b_dec"])


def test_a_bare_file_lying_on_its_side_is_told_by_the_length_of_b_enc(tmp_path):
    w, h = four(), inputs()
    turned = w | {"W_enc": w["W_enc"].T.contiguous(), "W_dec": w["W_dec"].T.contiguous()}
    path = write(tmp_path, "layer0.sae.pt", turned)
    sae = read_sae(path, answers={"apply_b_dec_to_input": False, "activation": "topk", "k": K})
    f = keep_largest((h @ w["W_enc"] + w["b_enc"]).relu(), K)
    check(sae, f, f @ w["W_dec"] + w["b_dec"])


# SAELens


def flat(**settings):
    return {"d_in": D, "d_sae": H, "hook_name": "blocks.0.mlp.hook_post", "model_name": "gelu-1l"} | settings


def test_a_legacy_topk_is_named_by_its_activation_function(tmp_path):
    w, h = four(), inputs()
    cfg = flat(activation_fn_str="topk", activation_fn_kwargs={"k": K}, architecture="standard", l1_coefficient=5)
    sae = read_sae(write(tmp_path, "sae_weights.safetensors", w, cfg=cfg).parent)
    f = keep_largest(((h - w["b_dec"]) @ w["W_enc"] + w["b_enc"]).relu(), K)
    check(sae, f, f @ w["W_dec"] + w["b_dec"])
    assert (sae.config.format, sae.config.prepend_bos) == ("saelens-legacy", True)


def test_a_legacy_tanh_relu(tmp_path):
    w, h = four(), inputs()
    sae = read_sae(write(tmp_path, "sae_weights.safetensors", w, cfg=flat(activation_fn="tanh-relu")))
    f = ((h - w["b_dec"]) @ w["W_enc"] + w["b_enc"]).relu().tanh()
    check(sae, f, f @ w["W_dec"] + w["b_dec"])


@pytest.mark.parametrize("ones", [True, False])
def test_fine_tuned_scales_count_in_the_decoder_only(tmp_path, ones):
    w, h = four(), inputs()
    scale = torch.ones(H) if ones else normal(H, seed=6).abs() + 0.5
    cfg = flat(finetuning_scaling_factor=not ones)
    sae = read_sae(write(tmp_path, "sae_weights.safetensors", w | {"scaling_factor": scale}, cfg=cfg))
    f = ((h - w["b_dec"]) @ w["W_enc"] + w["b_enc"]).relu()
    check(sae, f, (f * scale) @ w["W_dec"] + w["b_dec"])


@pytest.mark.parametrize("said", [True, "expected_average_only_in"])
def test_scaled_training_without_the_factor_asks_for_it(tmp_path, said):
    w, h = four(), inputs()
    path = write(tmp_path, "sae_weights.safetensors", w, cfg=flat(normalize_activations=said))
    assert [q.name for q in describe(path).questions] == ["scaling_factor"]
    sae = read_sae(path, answers={"scaling_factor": 3.0})
    f = ((3 * h - w["b_dec"]) @ w["W_enc"] + w["b_enc"]).relu()
    check(sae, f, (f @ w["W_dec"] + w["b_dec"]) / 3)


def test_mid_training_jumprelu_of_old_stores_the_logarithm(tmp_path):
    w, h = four(), inputs()
    log = normal(H, seed=7)
    cfg = flat(architecture="jumprelu", apply_b_dec_to_input=False)
    sae = read_sae(write(tmp_path, "sae_weights.safetensors", w | {"log_threshold": log}, cfg=cfg))
    p = h @ w["W_enc"] + w["b_enc"]
    f = jumprelu(p, log.exp())
    check(sae, f, f @ w["W_dec"] + w["b_dec"])


def test_topk_in_mid_training_rescales_unless_told_otherwise(tmp_path):
    w, h = four(), inputs()
    cfg = {"d_in": D, "d_sae": H, "architecture": "topk", "k": K, "metadata": {}, "aux_loss_coefficient": 1.0}
    sae = read_sae(write(tmp_path, "sae_weights.safetensors", w, cfg=cfg))
    size = w["W_dec"].norm(dim=1)
    f = keep_largest((((h - w["b_dec"]) @ w["W_enc"] + w["b_enc"]) * size).relu(), K)
    check(sae, f, (f / size) @ w["W_dec"] + w["b_dec"])
    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(H))


def test_half_precision_is_computed_in_float32(tmp_path):
    h = inputs()
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        low = {name: tensor.to(dtype) for name, tensor in four().items()}
        sae = read_sae(write(tmp_path / str(dtype), "sae_weights.safetensors", low, cfg=flat(dtype=str(dtype))))
        w = {name: tensor.float() for name, tensor in low.items()}
        f = ((h - w["b_dec"]) @ w["W_enc"] + w["b_enc"]).relu()
        check(sae, f, f @ w["W_dec"] + w["b_dec"])
        assert sae.config.dtype == str(dtype).removeprefix("torch.")


@pytest.mark.parametrize("module", ["sae_training.config", "sae_lens.training.config"])
def test_a_pickled_config_is_read_without_its_class(tmp_path, monkeypatch, module):
    class LanguageModelSAERunnerConfig:
        def __init__(self):
            self.d_in, self.expansion_factor, self.device = D, H // D, torch.device("cpu")
            self.model_name, self.hook_point, self.dtype = (
                "gpt2-small",
                "blocks.8.hook_resid_pre",
                torch.float32,
            )

    LanguageModelSAERunnerConfig.__module__, LanguageModelSAERunnerConfig.__qualname__ = (
        module,
        "LanguageModelSAERunnerConfig",
    )
    parts = module.split(".")
    with monkeypatch.context() as patch:
        for depth in range(1, len(parts) + 1):
            patch.setitem(sys.modules, ".".join(parts[:depth]), types.ModuleType(parts[depth - 1]))
        sys.modules[module].LanguageModelSAERunnerConfig = LanguageModelSAERunnerConfig
        w, h = four(), inputs()
        state = {"cfg": LanguageModelSAERunnerConfig(), "state_dict": w | {"scaling_factor": torch.ones(H)}}
        path = write(tmp_path, "final_sae.pt", state)
    sae = read_sae(path)
    f = ((h - w["b_dec"]) @ w["W_enc"] + w["b_enc"]).relu()
    check(sae, f, f @ w["W_dec"] + w["b_dec"])
    assert (sae.config.format, sae.config.model_name) == ("saelens-0", "gpt2-small")
    assert sae.config.hook_point == "blocks.8.hook_resid_pre"


def test_the_extension_does_not_decide(tmp_path):
    w = four() | {"threshold": normal(H, seed=8).abs()}
    np.savez(tmp_path / "params.npz", **{name: tensor.numpy() for name, tensor in w.items()})
    (tmp_path / "params.npz").rename(tmp_path / "gemma.pt")
    assert read_sae(tmp_path / "gemma.pt").config.activation == "jumprelu"
    path = write(tmp_path, "a.safetensors", four())
    assert describe(path.rename(tmp_path / "b.pt")).format == "bare"


def test_what_is_read_does_not_change_with_its_file(tmp_path):
    path = write(tmp_path, "25.pt", four(), **{"25_cfg": {"d_mlp": D}})
    sae = read_sae(path)
    before = sae.W_dec.clone()
    with path.open("r+b") as file:  # overwritten in place, as a trainer overwrites its last checkpoint
        file.write(b"\0" * path.stat().st_size)
    assert torch.equal(sae.W_dec, before)
