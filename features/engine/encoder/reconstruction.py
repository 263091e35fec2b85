"""What does an SAE make of activations? Its decoder's product from the active entries alone: sparse times dense."""

from collections.abc import Iterator

import torch
from torch import Tensor

from ..kernels.sparse import csr_offsets, stable_argsort, weighted_row_sums
from ..sae.sae import SparseAutoencoder

COLUMNS = 128  # of the hook point in a tile


def squared_error(sae: SparseAutoencoder, hook: Tensor, *entries: Tensor) -> Tensor:
    """Sum of |h - h'|^2 over tokens. hook [n, d_in]; entries as from `Encoder` -> [] float64, on their device."""
    return sum(
        rebuilt.sub_(hook[:, columns]).square_().sum(dtype=torch.float64)
        for columns, rebuilt in _tiles(sae, hook, *entries)
    )


def reconstruct(sae: SparseAutoencoder, hook: Tensor, *entries: Tensor) -> Tensor:
    """h' [n, d_in]. Same as reference.decode: float32 rounding."""
    return torch.cat([rebuilt for _, rebuilt in _tiles(sae, hook, *entries)], 1)


def _tiles(sae, hook, features: Tensor, tokens: Tensor, values: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Some columns of h' at a time: a tile of the decoder stays in the cache while all tokens gather from it."""
    # Entries lie by feature; the transpose of that CSR matrix has them by token.
    by_token = stable_argsort(tokens, len(hook))
    offsets = csr_offsets(tokens[by_token], len(hook))  # [n + 1]
    features, values = features[by_token], values[by_token]
    shift, scale = sae.undoing(hook)  # [n, 1] each
    for start in range(0, hook.shape[1], COLUMNS):
        columns = slice(start, start + COLUMNS)
        weights = sae.W_dec[:, columns].contiguous()  # [d_sae, COLUMNS]
        rebuilt = weighted_row_sums(weights, offsets, features, values).add_(sae.b_dec[columns])  # [n, COLUMNS]
        if sae.config.input_norm != "none":
            rebuilt.mul_(scale).add_(shift)
        yield columns, rebuilt
