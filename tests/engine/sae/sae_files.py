"""Tiny SAE files written by hand, for the tests of features/engine/sae."""

import json

import torch
from safetensors.torch import save_file

from features.engine import reference

D, H, K = 8, 24, 4


def normal(*shape, seed=0, scale=0.6):
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(*shape, generator=generator) * scale


def inputs():
    return normal(7, D, seed=99, scale=1.5) + 0.3  # [7, D]


def four():
    """W_enc [D, H], W_dec [H, D], b_enc [H], b_dec [D]: Neel's names and orientation."""
    return {
        "W_enc": normal(D, H),
        "W_dec": normal(H, D, seed=1),
        "b_enc": normal(H, seed=2),
        "b_dec": normal(D, seed=3),
    }


def linear(encoder="encoder", decoder="decoder"):
    """The same as two torch.nn.Linear without biases: encoder [H, D], decoder [D, H]."""
    tensors = four()
    return {
        f"{encoder}.weight": tensors["W_enc"].T.contiguous(),
        f"{decoder}.weight": tensors["W_dec"].T.contiguous(),
    }


def write(folder, name, tensors, **configs):
    """Tensors into folder/name, each config into folder/<key>.json; returns the path of the tensors."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    if name.endswith(".safetensors"):
        save_file(tensors, path)
    else:
        torch.save(tensors, path)
    for stem, config in configs.items():
        (folder / f"{stem}.json").write_text(json.dumps(config))
    return path


keep_largest = reference.signed_topk
jumprelu = reference.jumprelu


def close(actual, expected, tolerance=1e-5):
    assert actual.shape == expected.shape
    worst = (actual - expected).abs().max().item()
    assert worst <= tolerance, f"differs by {worst:.2g}"


def check(sae, f, back, h=None):
    h = inputs() if h is None else h
    close(sae.encode(h), f)
    close(sae.decode(sae.encode(h), h), back)


def standardised(h):
    return reference.input_norm(h, "layer_norm")[0]


def restored(x, h):
    _, shift, scale = reference.input_norm(h, "layer_norm")
    return x * scale + shift
