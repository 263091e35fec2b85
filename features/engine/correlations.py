"""Which neurons and features go with a feature: sums of products that stream, and what they come to."""

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .results import Correlates

HIGHEST, LOWEST = 7, 3  # correlates kept per feature at either end
FREQUENT_SHARE = 4  # one feature in so many is multiplied as a dense column, the rest entry by entry


@dataclass(frozen=True)
class Batch:
    """The active entries of some tokens, feature by feature, and the hook activations they came from."""

    features: Tensor  # [n] int64, ascending
    tokens: Tensor  # [n] int64, ascending within a feature
    values: Tensor  # [n] float32, not 0
    hook: Tensor  # [tokens, d_in]
    d_sae: int

    @property
    def counts(self) -> Tensor:
        """Active tokens of each feature. [d_sae] int64"""
        return torch.bincount(self.features, minlength=self.d_sae)


class ProductSums:
    """Sums over counted tokens of f_i h_n, f_i f_j and of f, h and their squares, all float64.

    A few features hold most entries. Their products are taken as dense columns, which leaves few pairs of two
    rare features to be multiplied entry by entry. Which ones count as frequent changes the work, not the sums.
    """

    def __init__(self, d_sae: int, d_in: int, device):
        def zeros(*shape):
            return torch.zeros(shape, dtype=torch.float64, device=device)

        self.tokens, self.d_sae = 0, d_sae
        self.f, self.h, self.hh = zeros(d_sae), zeros(d_in), zeros(d_in)
        self.fh = zeros(d_sae, d_in)
        count = max(1, d_sae // FREQUENT_SHARE)
        self._with_frequent, self._among_rare = zeros(d_sae, count), zeros(d_sae - count, d_sae - count)
        self._frequent: Tensor | None = None  # [count] features, chosen on the first batch
        self._rare: Tensor | None = None
        self._scratch: Tensor | None = None

    def update(self, batch: Batch) -> None:
        if self._frequent is None:
            self._divide(batch.counts)
        self.tokens += batch.hook.shape[0]
        self._add_hook_sums(batch.hook)
        self.f.index_add_(0, batch.features, batch.values.double())
        rows = _csr(batch.features, batch.tokens, batch.values, (self.d_sae, len(batch.hook)))
        self._add(self.fh, rows @ batch.hook)
        self._add(self._with_frequent, rows @ self._frequent_columns(batch))
        self._add_rare_pairs(batch)

    def _double(self, values: Tensor) -> Tensor:
        """A float64 copy in memory that is used again: fresh pages would cost more than the sum."""
        if self._scratch is None or self._scratch.numel() < values.numel():
            self._scratch = torch.empty(values.numel(), dtype=torch.float64, device=values.device)
        return self._scratch[: values.numel()].view(values.shape).copy_(values)

    def _add(self, total: Tensor, values: Tensor) -> None:
        total += self._double(values)

    def _add_hook_sums(self, hook: Tensor) -> None:
        values, ones = self._double(hook), self.h.new_ones(len(hook))
        self.h += ones @ values
        self.hh += ones @ torch.mul(values, values, out=values)

    def feature_products(self) -> Tensor:
        """Sums of f_i f_j over tokens. [d_sae, d_sae] float64"""
        products = self.f.new_zeros(self.d_sae, self.d_sae)
        if self._frequent is None:
            return products
        products[:, self._frequent] = self._with_frequent
        products[self._frequent[:, None], self._rare] = self._with_frequent[self._rare].t()
        products[self._rare[:, None], self._rare] = self._among_rare
        return products

    def _divide(self, counts: Tensor) -> None:
        order = counts.sort(descending=True, stable=True).indices
        count = self._with_frequent.shape[1]
        self._frequent, self._rare = order[:count].sort().values, order[count:].sort().values
        self._is_rare = torch.ones_like(counts, dtype=torch.bool)
        self._is_rare[self._frequent] = False
        self._column = torch.empty_like(counts)  # of a feature among the frequent or among the rare ones
        self._column[self._frequent] = torch.arange(count, device=counts.device)
        self._column[self._rare] = torch.arange(len(self._rare), device=counts.device)

    def _frequent_columns(self, batch: Batch) -> Tensor:
        """Activations of the frequent features. [tokens, frequent]"""
        keep = ~self._is_rare[batch.features]
        columns = batch.hook.new_zeros(len(batch.hook), len(self._frequent))
        columns[batch.tokens[keep], self._column[batch.features[keep]]] = batch.values[keep]
        return columns

    def _add_rare_pairs(self, batch: Batch) -> None:
        keep = self._is_rare[batch.features]
        features, tokens, values = self._column[batch.features[keep]], batch.tokens[keep], batch.values[keep]
        by_token = torch.sort(tokens, stable=True).indices
        shape = (len(self._rare), len(batch.hook))
        left = _csr(features, tokens, values, shape)
        right = _csr(tokens[by_token], features[by_token], values[by_token], shape[::-1])
        pairs = left @ right
        counts = pairs.crow_indices().diff()
        first = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
        flat = first * shape[0] + pairs.col_indices()
        self._among_rare.view(-1).index_add_(0, flat, pairs.values().double())


def _csr(rows: Tensor, columns: Tensor, values: Tensor, shape) -> Tensor:
    """Sparse matrix from entries sorted by row."""
    counts = torch.bincount(rows, minlength=shape[0])
    starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # CSR is called beta; its products are checked by the tests
        return torch.sparse_csr_tensor(starts, columns, values, tuple(shape))


class Correlations:
    """Pearson correlations and cosines of chosen features with neurons and with all features."""

    def __init__(self, sums: ProductSums, decoder: Tensor):
        """`decoder` [d_sae, d_in] for the cosine of decoder rows."""
        self.sums = sums
        self.products = sums.feature_products()
        self.norms = torch.nn.functional.normalize(decoder, dim=1)  # [d_sae, d_in]
        self.f_squared = self.products.diagonal()

    def neurons(self, features: Tensor) -> list[Correlates]:
        """Of each of `features` [n] with the entries of the hook point."""
        s = self.sums
        pearson, cosine = _correlate(s.fh[features], s.f[features], self.f_squared[features], s.h, s.hh, s.tokens)
        return [_correlates(p, c, None) for p, c in zip(pearson, cosine, strict=True)]

    def features(self, features: Tensor) -> list[Correlates]:
        """Of each of `features` [n] with every other feature."""
        s = self.sums
        pearson, cosine = _correlate(
            self.products[features], s.f[features], self.f_squared[features], s.f, self.f_squared, s.tokens
        )
        own = torch.arange(len(features), device=features.device)
        pearson[own, features] = torch.nan
        decoder = self.decoder_cosines(features)
        return [_correlates(p, c, d) for p, c, d in zip(pearson, cosine, decoder, strict=True)]

    def decoder_cosines(self, features: Tensor) -> Tensor:
        """Cosines of the decoder rows of `features` with all rows. [n, d_sae]"""
        return self.norms[features] @ self.norms.t()


def _correlate(xy: Tensor, x: Tensor, xx: Tensor, y: Tensor, yy: Tensor, tokens: int) -> tuple[Tensor, Tensor]:
    """Pearson correlation and cosine from sums over `tokens`: xy [n, m], x and xx [n], y and yy [m] -> [n, m].

    NaN where either side does not vary.
    """
    variance_x, variance_y = tokens * xx - x.square(), tokens * yy - y.square()
    variances = variance_x[:, None].clamp_min(0) * variance_y[None, :].clamp_min(0)
    pearson = (tokens * xy - x[:, None] * y[None, :]) / variances.sqrt()
    cosine = xy / (xx[:, None] * yy[None, :]).sqrt()
    return torch.where(variances > 0, pearson, torch.nan), cosine


def _correlates(pearson: Tensor, cosine: Tensor, decoder: Tensor | None) -> Correlates:
    """The highest, then the lowest (if negative) correlates; none for a feature that never varies."""
    known = int(pearson.isfinite().sum())
    high = pearson.nan_to_num(-torch.inf).topk(min(HIGHEST, known)).indices
    low = pearson.nan_to_num(torch.inf).topk(min(LOWEST, max(known - HIGHEST, 0)), largest=False).indices.flip(0)
    chosen = torch.cat([high, low[pearson[low] < 0]])

    def numpy(values):
        return values[chosen].float().cpu().numpy()

    return Correlates(
        chosen.int().cpu().numpy(),
        numpy(pearson),
        numpy(cosine),
        numpy(decoder) if decoder is not None else np.zeros(0, np.float32),
    )
