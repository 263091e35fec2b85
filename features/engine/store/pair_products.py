"""Sums of f_i f_j over all tokens, for all pairs of features, from the active entries alone: the Gram matrix f^T f.

A few features hold most entries. Products with those are dense: a matrix [d_sae, frequent] that one sweep over the
chunks fills. What is left are pairs of two rare features: few of them ever fire together, and they are multiplied entry
by entry, for some features at a time (rare_pairs.py). Which ones count as frequent changes the work, not the sums.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from ..kernels.parallel import parallel_map
from ..kernels.sparse import csr_offsets, stable_argsort
from .active_entries import ActiveEntries, Chunk
from .rare_pairs import RareEntriesByToken
from .sums import StreamingProducts

CPU = torch.device("cpu")
FREQUENT_SHARE = 4  # at most one feature in so many is frequent
FREQUENT_BYTES = 160 << 20  # at most, of the products of all features with them
TILE = 256  # frequent features whose products with those up to them are taken at once, where both sides are one


@dataclass(frozen=True)
class FrequencySplit:
    """The features of one dictionary, split into frequent and rare ones."""

    entries: ActiveEntries
    frequent: np.ndarray  # [k] ascending

    @classmethod
    def of(cls, entries: ActiveEntries) -> "FrequencySplit":
        d_sae = entries.d_sae
        most = max(1, min(d_sae // FREQUENT_SHARE, FREQUENT_BYTES // (8 * d_sae)))
        return cls(entries, np.sort(np.argsort(-entries.counts, kind="stable")[:most]))

    @cached_property
    def rare(self) -> np.ndarray:
        """[d_sae - k] ascending"""
        return np.setdiff1d(np.arange(self.entries.d_sae), self.frequent)

    @cached_property
    def is_rare(self) -> np.ndarray:
        """[d_sae] bool"""
        mask = np.ones(self.entries.d_sae, bool)
        mask[self.frequent] = False
        return mask

    @cached_property
    def order(self) -> np.ndarray:
        """All features, the frequent ones first: the columns of products. [d_sae]"""
        return np.concatenate([self.frequent, self.rare])

    @cached_property
    def column(self) -> np.ndarray:
        """A feature's index among the frequent or among the rare ones. [d_sae] int64"""
        columns = np.empty(self.entries.d_sae, np.int64)
        for group in (self.frequent, self.rare):
            columns[group] = np.arange(len(group))
        return columns

    def frequent_columns(self, chunk: Chunk, device) -> Tensor:
        """Frequent features' activations on a chunk, dense. [tokens, k]"""
        columns, tokens, values = self._entries(chunk, rare=False, device=device)
        dense = torch.zeros(chunk.size, len(self.frequent), device=device)  # [tokens, k]
        dense[tokens, columns] = values
        return dense

    def rare_entries(self, chunk: Chunk, device) -> tuple[Tensor, Tensor, Tensor]:
        """The rare features' entries of a chunk as (columns, tokens, values). [e] each"""
        return self._entries(chunk, rare=True, device=device)

    def rare_by_token(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """The rare features' entries, chunk by chunk: the end of each token's, their columns and values."""
        with parallel_map(CPU) as run:
            yield from run(partial(self._rare_by_token, chunk) for chunk in self.entries.chunks())

    def _rare_by_token(self, chunk: Chunk):
        # The transpose of a CSR matrix: a stable sort by token keeps features ascending within each.
        columns, tokens, values = self.rare_entries(chunk, CPU)
        order = stable_argsort(tokens, chunk.size)
        ends = np.cumsum(np.bincount(tokens.numpy(), minlength=chunk.size))  # [tokens]
        return ends, columns[order].numpy().astype(np.int32), values[order].numpy()

    def _entries(self, chunk: Chunk, rare: bool, device) -> tuple[Tensor, Tensor, Tensor]:
        # Per feature what is wanted and where it goes, repeated for each of its entries.
        wanted = np.repeat(self.is_rare == rare, chunk.counts)  # [e]
        columns = np.repeat(self.column, chunk.counts)[wanted]
        arrays = columns, chunk.tokens[wanted].astype(np.int64), chunk.values[wanted]
        return tuple(torch.from_numpy(array).to(device) for array in arrays)


def products_with_frequent(
    left: FrequencySplit, right: FrequencySplit, device, progress: Callable[[int], None] = lambda tokens: None
) -> np.ndarray:
    """Products of every feature of `left` with the frequent ones of `right`. [d_left, k] float64

    They are float32 within a chunk, added up in float64. `progress(tokens)` hears how many tokens are behind, and may
    raise to stop.
    """
    frequent = torch.zeros(len(left.frequent), len(right.frequent), dtype=torch.float64, device=device)
    rare, lock = StreamingProducts(len(left.rare), len(right.frequent), device), Lock()

    def add(chunks: tuple[Chunk, Chunk]) -> int:
        # Frequent with frequent: a product of two dense matrices.
        dense = right.frequent_columns(chunks[1], device)  # [tokens, k]
        left_dense = dense if right is left else left.frequent_columns(chunks[0], device)
        product = _upper_gram(dense) if right is left else left_dense.t() @ dense  # [k_left, k] float32
        with lock:
            frequent.add_(product)
        # Rare with frequent: sparse times dense.
        columns, tokens, values = left.rare_entries(chunks[0], device)
        rare.add(dense, csr_offsets(columns, len(left.rare)), tokens, values)
        return chunks[0].first + chunks[0].size

    pairs = zip(left.entries.chunks(), right.entries.chunks(), strict=True)
    with parallel_map(device, host_bound=True) as run:
        for tokens in run(partial(add, pair) for pair in pairs):
            progress(tokens)
    if right is left:
        # Only the upper triangle was added up; a Gram matrix is symmetric.
        frequent = frequent.triu() + frequent.triu(1).t()
    rare_products = np.empty((len(left.rare), len(right.frequent)))
    rare.write(rare_products)
    products = np.empty((left.entries.d_sae, len(right.frequent)))  # [d_left, k]
    products[left.frequent], products[left.rare] = frequent.cpu().numpy(), rare_products
    return products


def _upper_gram(dense: Tensor) -> Tensor:
    """Products of columns with each other; below the diagonal not all of them. [tokens, k] -> [k, k]"""
    products = dense.new_zeros(dense.shape[1], dense.shape[1])
    for start in range(0, dense.shape[1], TILE):
        end = start + TILE
        # Columns up to the tile's end: half the work of the whole square.
        products[:end, start:end] = dense[:, :end].t() @ dense[:, start:end]
    return products


@dataclass(frozen=True)
class PairProducts:
    """Products of the features of `left` with those of `right`, some of `left` at a time."""

    left: FrequencySplit
    right: FrequencySplit
    with_right_frequent: np.ndarray  # [d_left, k_right] float64, of `products_with_frequent(left, right)`
    with_left_frequent: np.ndarray  # [d_right, k_left], of `products_with_frequent(right, left)`
    right_rare: RareEntriesByToken

    def rows(self, features: np.ndarray) -> np.ndarray:
        """Of features [n] of `left` with all of `right`, in the order `right.order`. [n, d_right] float64"""
        frequent_count, rare = len(self.right.frequent), self.left.is_rare[features]
        products = np.zeros((len(features), self.right.entries.d_sae))
        # Any feature with a frequent one, a frequent one with rare ones: looked up; the latter from the other side.
        products[:, :frequent_count] = self.with_right_frequent[features]
        left_columns = self.left.column[features[~rare]]
        products[~rare, frequent_count:] = self.with_left_frequent[np.ix_(self.right.rare, left_columns)].T
        # Two rare ones: added up here.
        entries = list(self.left.entries.features(features[rare]))
        self.right_rare.add_products(entries, [products[row, frequent_count:] for row in np.flatnonzero(rare)])
        return products
