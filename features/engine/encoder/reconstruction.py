"""What does an SAE make of activations? From the active entries alone."""

from collections.abc import Iterator

import torch
from torch import Tensor

from ..kernels.sparse import order_of, starts_of, weighted_sums
from ..sae.sae import SparseAutoencoder

COLUMNS = 128  # of the hook point at a time


def squared_error(sae: SparseAutoencoder, hook: Tensor, *entries: Tensor) -> Tensor:
    """Sum of |h - h'|^2 over tokens. hook [n, d_in]; entries as from `Encoder` -> [] float64, on their device."""
    return sum(
        part.sub_(hook[:, strip]).square_().sum(dtype=torch.float64) for strip, part in _strips(sae, hook, *entries)
    )


def reconstructed(sae: SparseAutoencoder, hook: Tensor, *entries: Tensor) -> Tensor:
    """h' [n, d_in]. Same as reference.decode: float32 rounding."""
    return torch.cat([part for _, part in _strips(sae, hook, *entries)], 1)


def _strips(sae, hook, features: Tensor, tokens: Tensor, values: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Some columns of h' at a time: a strip of the decoder stays in the cache while all tokens gather from it."""
    by_token = order_of(tokens, len(hook))
    starts = starts_of(tokens[by_token], len(hook))
    features, values = features[by_token], values[by_token]
    shift, scale = sae.undoing(hook)
    for start in range(0, hook.shape[1], COLUMNS):
        strip = slice(start, start + COLUMNS)
        rebuilt = weighted_sums(sae.W_dec[:, strip].contiguous(), starts, features, values).add_(sae.b_dec[strip])
        if sae.config.input_norm != "none":
            rebuilt.mul_(scale).add_(shift)
        yield strip, rebuilt
