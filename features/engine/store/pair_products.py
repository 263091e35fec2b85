"""Sums of f_i f_j over all tokens, for all pairs of features, from the active entries alone.

A few features hold most entries. Products with those are dense: a matrix [d_sae, frequent] that one sweep over the
pieces fills. What is left are pairs of two rare features: few of them ever meet, and they are multiplied entry by
entry, for some features at a time. Which ones count as frequent changes the work, not the sums.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from ..kernels.parallel import side_by_side
from ..kernels.sparse import order_of, starts_of
from .active_entries import Entries, Piece
from .rare_pairs import RareByToken
from .sums import Products

CPU = torch.device("cpu")
FREQUENT_SHARE = 4  # at most one feature in so many is frequent
FREQUENT_BYTES = 160 << 20  # at most, of the products of all features with them
STRIP = 256  # frequent features whose products with those up to them are taken at once, where both sides are one


@dataclass(frozen=True)
class Side:
    """The features of one dictionary, parted into frequent and rare ones."""

    entries: Entries
    frequent: np.ndarray  # [k] ascending

    @classmethod
    def of(cls, entries: Entries) -> "Side":
        d_sae = entries.d_sae
        most = max(1, min(d_sae // FREQUENT_SHARE, FREQUENT_BYTES // (8 * d_sae)))
        return cls(entries, np.sort(np.argsort(-entries.counts, kind="stable")[:most]))

    @cached_property
    def rare(self) -> np.ndarray:
        return np.setdiff1d(np.arange(self.entries.d_sae), self.frequent)

    @cached_property
    def is_rare(self) -> np.ndarray:
        mask = np.ones(self.entries.d_sae, bool)
        mask[self.frequent] = False
        return mask

    @cached_property
    def order(self) -> np.ndarray:
        """All features, the frequent ones first. [d_sae]"""
        return np.concatenate([self.frequent, self.rare])

    @cached_property
    def column(self) -> np.ndarray:
        """A feature's place among the frequent or among the rare ones. [d_sae] int64"""
        places = np.empty(self.entries.d_sae, np.int64)
        for group in (self.frequent, self.rare):
            places[group] = np.arange(len(group))
        return places

    def often(self, piece: Piece, device) -> Tensor:
        """Frequent features as dense columns. [tokens, k]"""
        columns, tokens, values = self._entries(piece, rare=False, device=device)
        dense = torch.zeros(piece.size, len(self.frequent), device=device)
        dense[tokens, columns] = values
        return dense

    def seldom(self, piece: Piece, device) -> tuple[Tensor, Tensor, Tensor]:
        """The rare features' entries as (columns, tokens, values)."""
        return self._entries(piece, rare=True, device=device)

    def by_token(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """The rare features' entries, piece by piece: the end of each token's, their columns and values."""
        with side_by_side(CPU) as run:
            yield from run(partial(self._by_token, piece) for piece in self.entries.pieces())

    def _by_token(self, piece: Piece):
        columns, tokens, values = self.seldom(piece, CPU)
        order = order_of(tokens, piece.size)
        ends = np.cumsum(np.bincount(tokens.numpy(), minlength=piece.size))
        return ends, columns[order].numpy().astype(np.int32), values[order].numpy()

    def _entries(self, piece, rare, device):
        wanted = np.repeat(self.is_rare == rare, piece.counts)
        columns = np.repeat(self.column, piece.counts)[wanted]
        parts = columns, piece.tokens[wanted].astype(np.int64), piece.values[wanted]
        return tuple(torch.from_numpy(part).to(device) for part in parts)


def with_frequent(left: Side, right: Side, device, done: Callable[[int], None] = lambda tokens: None) -> np.ndarray:
    """Products of every feature of `left` with the frequent ones of `right`. [d_left, k] float64

    `done` hears how many tokens are behind, and may raise to stop.
    """
    often = torch.zeros(len(left.frequent), len(right.frequent), dtype=torch.float64, device=device)
    seldom, lock = Products(len(left.rare), len(right.frequent), device), Lock()

    def add(pieces):
        dense = right.often(pieces[1], device)
        own = dense if right is left else left.often(pieces[0], device)
        product = _upper(dense) if right is left else own.t() @ dense
        with lock:
            often.add_(product)
        columns, tokens, values = left.seldom(pieces[0], device)
        seldom.add(dense, starts_of(columns, len(left.rare)), tokens, values)
        return pieces[0].first + pieces[0].size

    pairs = zip(left.entries.pieces(), right.entries.pieces(), strict=True)
    with side_by_side(device, mostly_here=True) as run:
        for tokens in run(partial(add, pair) for pair in pairs):
            done(tokens)
    if right is left:
        often = often.triu() + often.triu(1).t()
    rest = np.empty((len(left.rare), len(right.frequent)))
    seldom.write(rest)
    found = np.empty((left.entries.d_sae, len(right.frequent)))
    found[left.frequent], found[left.rare] = often.cpu().numpy(), rest
    return found


def _upper(dense: Tensor) -> Tensor:
    """Products of columns with each other; below the diagonal not all of them. [k, k]"""
    products = dense.new_zeros(dense.shape[1], dense.shape[1])
    for start in range(0, dense.shape[1], STRIP):
        end = start + STRIP
        products[:end, start:end] = dense[:, :end].t() @ dense[:, start:end]
    return products


@dataclass(frozen=True)
class PairProducts:
    """Products of the features of `left` with those of `right`, some of `left` at a time."""

    left: Side
    right: Side
    onto: np.ndarray  # [d_left, k_right] float64, of `with_frequent(left, right)`
    back: np.ndarray  # [d_right, k_left], of `with_frequent(right, left)`
    by_token: RareByToken  # of right

    def of(self, features: np.ndarray) -> np.ndarray:
        """[n, d_right] float64, in the order `right.order`."""
        often, rare = len(self.right.frequent), self.left.is_rare[features]
        found = np.zeros((len(features), self.right.entries.d_sae))
        found[:, :often] = self.onto[features]
        found[~rare, often:] = self.back[np.ix_(self.right.rare, self.left.column[features[~rare]])].T
        entries = list(self.left.entries.features(features[rare]))
        self.by_token.add_products(entries, [found[row, often:] for row in np.flatnonzero(rare)])
        return found
