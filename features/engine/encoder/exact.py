"""What a screen could not rule out, computed exactly: products of single entries in float32, by loops or by tensors.

Both go through the hook point's columns tile by tile (cache blocking), so that the tokens' part of a tile stays in the
cache while all features gather from it.
"""

import torch
from torch import Tensor

from ..kernels.sparse import csr_matrix
from ..sae.sae import SparseAutoencoder
from .dense import CooEntries, keep_active

COLUMNS = 128  # of the hook point in a tile, on a CPU


def column_tiles(rows: Tensor) -> list[Tensor]:
    """[n, d_in] -> [n, COLUMNS] each, contiguous; on a GPU one [n, d_in]"""
    return [tile.contiguous() for tile in rows.split(rows.shape[1] if rows.is_cuda else COLUMNS, dim=1)]


def exact_by_loops(sae: SparseAutoencoder, tiles: list[Tensor], hook: Tensor, candidates: Tensor) -> CooEntries:
    """The candidates that are active, on a CPU, by compiled loops. Arguments as of exact_by_tensors."""
    from ..kernels.numba import screened

    offsets, flat = _offsets(sae, hook, candidates).numpy(), candidates.numpy()
    products = hook.new_zeros(len(candidates)).numpy()  # [n] float32
    for weights, columns in zip(tiles, column_tiles(hook), strict=True):
        screened.add_products(weights.numpy(), columns.numpy(), offsets, flat, products)
    # Room for all candidates: how many of them are active is known only afterwards.
    features, tokens = torch.empty_like(candidates), torch.empty_like(candidates)
    values = torch.empty(len(candidates))
    kept = features.numpy(), tokens.numpy(), values.numpy()
    count = screened.keep_active(flat, products, offsets, len(hook), sae.b_enc.numpy(), sae.floor.numpy(), *kept)
    return features[:count], tokens[:count], values[:count]


def exact_by_tensors(sae: SparseAutoencoder, tiles: list[Tensor], hook: Tensor, candidates: Tensor) -> CooEntries:
    """The candidates that are active, on any device, by sampled dense-dense products (SDDMM).

    tiles: `column_tiles` of the encoder's weights [d_sae, d_in]; hook [tokens, d_in]; candidates [n] int64, flat
    indices feature * tokens + token, ascending.
    """
    offsets, shape = _offsets(sae, hook, candidates), (sae.config.d_sae, len(hook))
    tokens, products = candidates % len(hook), hook.new_zeros(len(candidates))  # [n] each
    for weights, columns in zip(tiles, column_tiles(hook), strict=True):
        # Adds the tile's part of each product to what the tiles before made of it.
        so_far = csr_matrix(offsets, tokens, products, shape)
        products = torch.sparse.sampled_addmm(so_far, weights, columns.t()).values()
    return keep_active(sae, len(hook), candidates, products)


def _offsets(sae: SparseAutoencoder, hook: Tensor, candidates: Tensor) -> Tensor:
    """CSR offsets of each feature's candidates. [d_sae + 1]"""
    # Feature i's flat indices are those from i * tokens on.
    return torch.searchsorted(
        candidates, torch.arange(sae.config.d_sae + 1, device=candidates.device) * len(hook)
    )  # fmt: skip
