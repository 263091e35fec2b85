"""An SAE for a made model whose features are as rare, and as common, as those of a real one.

128 features of the real GELU-1L SAE have published counts over 524,288 tokens. Their quantile function, stretched
over all features, says how often each should fire; a bias is then set so that it does. Directions are mixtures of
the model's own activations, so a feature has tokens it is for, and activations that thin out towards its highest.
What is not imitated: that most rare features of the real SAE look nearly the same way.
"""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

PUBLISHED_TOKENS = 524_288
PUBLISHED_COUNTS = (
    12, 19, 21, 24, 26, 27, 30, 33, 33, 34, 34, 35, 37, 38, 40, 40, 41, 42, 42, 43, 44, 44, 44, 44, 44, 44, 45, 45, 46,
    46, 47, 48, 49, 49, 49, 49, 50, 50, 51, 51, 51, 51, 51, 53, 53, 54, 54, 54, 54, 54, 55, 55, 56, 56, 57, 57, 58, 58,
    58, 58, 61, 61, 61, 62, 62, 62, 63, 63, 66, 66, 67, 67, 67, 69, 71, 72, 73, 300, 426, 482, 578, 695, 810, 863, 887,
    1130, 1197, 1202, 1246, 1311, 1321, 1383, 1403, 1404, 1415, 1472, 1481, 1518, 1940, 1976, 1991, 2060, 2084, 2191,
    2380, 2466, 2777, 2923, 3114, 3754, 4011, 4285, 4588, 4854, 5487, 6959, 7734, 10542, 11012, 17247, 19753, 28544,
    32853, 51513, 68148, 70582, 73089, 146264,
)  # fmt: skip
RAREST, DENSEST = 1e-5, 0.3
BLOCK = 512  # features whose activations are held at a time
ENOUGH = 1500  # active tokens from which a density is known well; denser features read fewer tokens
TAIL = 8  # highest values that a threshold beyond the sample is extrapolated from


def target_densities(d_sae: int, l0: float | None = None) -> np.ndarray:
    """The published densities' quantile function at d_sae points, ascending; scaled to sum to `l0` if given. [d_sae]"""
    logs = np.log([RAREST, *(np.array(PUBLISHED_COUNTS) / PUBLISHED_TOKENS), DENSEST])
    at = (np.arange(d_sae) + 0.5) / d_sae
    known = np.concatenate([[0], (np.arange(len(PUBLISHED_COUNTS)) + 0.5) / len(PUBLISHED_COUNTS), [1]])
    densities = np.exp(np.interp(at, known, logs))
    return densities if l0 is None else densities * (l0 / densities.sum())


@torch.no_grad()
def make_sae(pool: Tensor, sample: Tensor, densities: np.ndarray, seed: int = 1) -> tuple[dict, np.ndarray]:
    """Weights of a ReLU SAE, f = relu((h - b_dec) @ W_enc + b_enc), and the density of each of its features.

    The densities are the given ascending ones, in a mixed order. pool [p, d_in] activations that directions are
    made of; sample [n, d_in] others, to set the biases on.
    """
    g = torch.Generator().manual_seed(seed)
    b_dec = sample.mean(0)
    toward = _directions(pool - b_dec, len(densities), g)  # [d_sae, d_in], unit rows
    b_enc = -thresholds(toward, sample - b_dec, densities)
    mixed = torch.randperm(len(densities), generator=g)  # no order among features
    toward, b_enc = toward[mixed], b_enc[mixed]
    W_dec = _noisy(toward, g)
    scale = _best_scale(toward, b_enc, W_dec, sample[:512] - b_dec)
    weights = {"W_enc": (toward * scale).t().contiguous(), "b_enc": b_enc * scale, "W_dec": W_dec, "b_dec": b_dec}
    return weights, densities[mixed.numpy()]


def write_sae(folder: Path, weights: dict[str, Tensor], hook: str) -> None:
    """In SAELens's layout."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "sae_weights.safetensors")
    d_sae, d_in = weights["W_dec"].shape
    config = dict(
        architecture="standard", d_in=d_in, d_sae=d_sae, dtype="float32", apply_b_dec_to_input=True,
        normalize_activations="none", metadata=dict(model_name="made-gelu-1l", hook_name=hook, prepend_bos=True),
    )  # fmt: skip
    (folder / "cfg.json").write_text(json.dumps(config))


def _directions(pool: Tensor, count: int, g: torch.Generator) -> Tensor:
    """Three activations of the pool, the second and third less, and a little noise. [count, d_in]"""
    pool = torch.nn.functional.normalize(pool, dim=1)
    rows = torch.randn(count, pool.shape[1], generator=g) * (0.3 * pool.shape[1] ** -0.5)
    for weight in (1.0, 0.6, 0.4):
        rows.add_(pool[torch.randint(len(pool), (count,), generator=g)], alpha=weight)
    return torch.nn.functional.normalize(rows, dim=1)


def _noisy(toward: Tensor, g: torch.Generator) -> Tensor:
    """Decoder rows: near the encoder's, of length one. [d_sae, d_in]"""
    noise = torch.randn(toward.shape, generator=g).mul_(0.5 * toward.shape[1] ** -0.5)
    return torch.nn.functional.normalize(noise.add_(toward), dim=1)


def thresholds(toward: Tensor, sample: Tensor, densities: np.ndarray) -> Tensor:
    """What h @ toward exceeds as often as `densities` say. [d_sae]

    In bfloat16: three times as fast, and its error is small against the width of a tail.
    """
    toward, sample = toward.bfloat16(), sample.bfloat16().t().contiguous()
    found = torch.empty(len(toward))
    for start in range(0, len(toward), BLOCK):
        wanted = torch.tensor(densities[start : start + BLOCK])
        used = min(sample.shape[1], int(ENOUGH / wanted.max()) + TAIL)
        values = toward[start : start + BLOCK] @ sample[:, :used]  # [block, used]
        highest = values.topk(min(used, int(wanted.max() * used) + TAIL + 2), dim=1).values.float()
        found[start : start + BLOCK] = _at_density(highest, wanted, used)
    return found


def _at_density(highest: Tensor, wanted: Tensor, n: int) -> Tensor:
    """The value exceeded by a share `wanted` of tokens, from the highest of n; an exponential tail beyond. [block]"""
    rank = wanted * (n + 1) - 1  # of the j-th highest value, counted from 0, a share (j + 1) / (n + 1) is as high
    below = rank.clamp(min=0).long()[:, None]
    part = (rank - below.squeeze(1)).float()
    inside = torch.lerp(highest.gather(1, below).squeeze(1), highest.gather(1, below + 1).squeeze(1), part)
    last = highest[:, TAIL - 1]
    mean_excess = highest[:, :TAIL].mean(1) - last
    beyond = last + mean_excess * (TAIL / ((n + 1) * wanted)).log().float()
    return torch.where(rank < TAIL - 1, beyond, inside)


def _best_scale(toward: Tensor, b_enc: Tensor, W_dec: Tensor, h: Tensor) -> float:
    """By which activations reconstruct h best in the sense of least squares."""
    rebuilt = (h @ toward.t() + b_enc).relu_() @ W_dec
    return float((rebuilt * h).sum() / rebuilt.square().sum())
