"""How far from the activations is what an SAE makes of them? From the active entries alone."""

import torch
from torch import Tensor

from .sae import SparseAutoencoder
from .sparse import order_of, starts_of, weighted_sums
from .sums import COLUMNS


def squared_error(sae: SparseAutoencoder, hook: Tensor, features: Tensor, tokens: Tensor, values: Tensor) -> float:
    """Sum of |h - h'|^2 over tokens. hook [n, d_in]; the entries in any order; summed in float64."""
    by_token = order_of(tokens, len(hook))
    starts = starts_of(tokens[by_token], len(hook))
    features, values = features[by_token], values[by_token]
    shift, scale = sae.undoing(hook)
    error = 0.0
    for start in range(0, hook.shape[1], COLUMNS):  # a strip of the decoder stays in the cache
        strip = slice(start, start + COLUMNS)
        rebuilt = weighted_sums(sae.W_dec[:, strip].contiguous(), starts, features, values).add_(sae.b_dec[strip])
        if sae.config.input_norm != "none":
            rebuilt.mul_(scale).add_(shift)
        error += float(rebuilt.sub_(hook[:, strip]).square_().sum(dtype=torch.float64))
    return error
