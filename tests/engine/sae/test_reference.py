"""Checkpoints written by the libraries give the activations and reconstructions that the libraries give."""

import os
from pathlib import Path

import pytest
import torch

from features.engine.sae.checkpoint import describe, read_sae

DATA = Path(__file__).parents[2] / "data" / "checkpoints"
FILES = {"neel": "25.pt", "openai_topk": "6.pt", "sparsify": "layers.0"}  # else the folder itself
FORMATS = {
    "neel": ("neel", "relu"),
    "gemma": ("gemma-scope", "jumprelu"),
    "openai_topk": ("openai", "topk"),
    "sparsify": ("sparsify", "topk"),
    "dl_AutoEncoder": ("dictionary_learning", "relu"),
    "dl_AutoEncoderNew": ("linear", "relu"),
    "dl_AutoEncoderTopK": ("dictionary_learning", "topk"),
    "dl_BatchTopKSAE": ("dictionary_learning", "jumprelu"),
    "dl_BatchTopK_backup": ("dictionary_learning", "jumprelu"),
    "dl_GatedAutoEncoder": ("dictionary_learning", "jumprelu"),
    "dl_Gated_backup": ("dictionary_learning", "jumprelu"),
    "dl_JumpReluAutoEncoder": ("dictionary_learning", "jumprelu"),
    "dl_MatryoshkaBatchTopKSAE": ("dictionary_learning", "jumprelu"),
    "sl_standard": ("saelens", "relu"),
    "sl_layer_norm": ("saelens", "relu"),
    "sl_constant_norm_rescale": ("saelens", "relu"),
    "sl_topk": ("saelens", "topk"),
    "sl_topk_rescale": ("saelens", "topk"),
    "sl_abstopk": ("saelens", "abstopk"),
    "sl_jumprelu": ("saelens", "jumprelu"),
    "sl_gated": ("saelens", "jumprelu"),
    "sl_v3_flat": ("saelens-legacy", "relu"),
    "sl_mid_standard": ("saelens-training", "relu"),
    "sl_mid_topk": ("saelens-training", "topk"),
    "sl_mid_batchtopk": ("saelens-training", "jumprelu"),
    "sl_mid_matryoshka": ("saelens-training", "jumprelu"),
    "sl_mid_jumprelu": ("saelens-training", "jumprelu"),
    "sl_mid_gated": ("saelens-training", "jumprelu"),
}


def location(name):
    return DATA / name / FILES.get(name, "")


def test_every_sample_is_read():
    assert set(FORMATS) == {entry.name for entry in os.scandir(DATA) if entry.is_dir()}


@pytest.mark.parametrize("name", FORMATS)
def test_activations_and_reconstructions_are_the_librarys(name):
    h = torch.load(DATA / "inputs.pt", weights_only=True)
    expected = torch.load(DATA / name / "expected.pt", weights_only=True)
    sae = read_sae(location(name))
    f = sae.encode(h)
    assert (sae.config.format, sae.config.activation) == FORMATS[name]
    assert (f - expected["f"]).abs().max() <= 1e-5
    assert (sae.decode(f, h) - expected["xh"]).abs().max() <= 1e-5
    assert torch.equal(f != 0, expected["f"] != 0)  # the very same features are active


@pytest.mark.parametrize("name", FORMATS)
def test_describing_tells_what_reading_finds(name):
    config, told = read_sae(location(name)).config, describe(location(name))
    assert (told.d_in, told.d_sae) == (config.d_in, config.d_sae) == (16, 64)
    assert (told.format, told.activation, told.k) == (config.format, config.activation, config.k)
    assert told.subject["hook_point"] == config.hook_point
    assert not [question for question in told.questions if question.required]
