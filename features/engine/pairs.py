"""Sums of f_i f_j over all tokens, for all pairs of features, from the active entries alone.

A few features hold most entries. Products with those are dense: a matrix [d_sae, frequent] that one sweep over the
pieces fills. What is left are pairs of two rare features: few of them ever meet, and they are multiplied entry by
entry, for some features at a time. Which ones count as frequent changes the work, not the sums.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from .disk import Numbers
from .entries import Entries, Piece
from .sparse import matrix, order_of, starts_of
from .sums import Products
from .threads import side_by_side

FREQUENT_SHARE = 4  # at most one feature in so many is frequent
FILES = ("starts", "columns", "values")
FREQUENT_BYTES = 160 << 20  # at most, of the products of all features with them


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
    def column(self) -> np.ndarray:
        """A feature's place among the frequent or among the rare ones. [d_sae] int64"""
        places = np.empty(self.entries.d_sae, np.int64)
        for group in (self.frequent, self.rare):
            places[group] = np.arange(len(group))
        return places

    def parted(self, piece: Piece, device) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """Frequent features as dense columns [tokens, k]; the rare ones' entries as (columns, tokens, values)."""
        features = np.repeat(np.arange(self.entries.d_sae), piece.counts)
        rare = self.is_rare[features]
        columns, tokens = self.column[features], piece.tokens.astype(np.int64)
        dense = torch.zeros(piece.size, len(self.frequent), device=device)
        often = [torch.from_numpy(part[~rare]).to(device) for part in (tokens, columns, piece.values)]
        dense[often[0], often[1]] = often[2]
        return dense, tuple(torch.from_numpy(part[rare]).to(device) for part in (columns, tokens, piece.values))


def with_frequent(left: Side, right: Side, device, done: Callable[[int], None] = lambda tokens: None) -> np.ndarray:
    """Products of every feature of `left` with the frequent ones of `right`. [d_left, k] float64

    `done` hears how many tokens are behind, and may raise to stop.
    """
    often = torch.zeros(len(left.frequent), len(right.frequent), dtype=torch.float64, device=device)
    seldom, lock = Products(len(left.rare), len(right.frequent), device), Lock()

    def add(pieces):
        own, (columns, tokens, values) = left.parted(pieces[0], device)
        dense = own if right is left else right.parted(pieces[1], device)[0]
        product = own.t() @ dense
        with lock:
            often.add_(product)
        seldom.add(dense, starts_of(columns, len(left.rare)), tokens, values)
        return pieces[0].first + pieces[0].size

    pairs = zip(left.entries.pieces(), right.entries.pieces(), strict=True)
    with side_by_side(device) as run:
        for tokens in run(partial(add, pair) for pair in pairs):
            done(tokens)
    rest = np.empty((len(left.rare), len(right.frequent)))
    seldom.write(rest)
    found = np.empty((left.entries.d_sae, len(right.frequent)))
    found[left.frequent], found[left.rare] = often.cpu().numpy(), rest
    return found


class RareByToken:
    """The entries of rare features token by token, on disk: what pairs of two rare ones are multiplied from."""

    def __init__(self, folder: Path):
        self.starts = Numbers(folder / "starts", np.int64)  # of all tokens of all pieces, and the end
        self.columns = Numbers(folder / "columns", np.int32)
        self.values = Numbers(folder / "values", np.float32)
        self.firsts = np.load(folder / "firsts.npy")  # [pieces + 1] into `starts`

    @classmethod
    def write(cls, side: Side, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        firsts, count = [0], 0
        with ExitStack() as stack:
            starts, columns, values = (stack.enter_context((folder / name).open("wb")) for name in FILES)
            starts.write(np.zeros(1, np.int64).data)
            for piece in side.entries.pieces():
                _, (own, tokens, weights) = side.parted(piece, torch.device("cpu"))
                order = order_of(tokens, piece.size)
                ends = count + np.cumsum(np.bincount(tokens.numpy(), minlength=piece.size))
                starts.write(ends.astype(np.int64).data)
                columns.write(own[order].numpy().astype(np.int32).data)
                values.write(weights[order].numpy().data)
                count = int(ends[-1])
                firsts.append(firsts[-1] + piece.size)
        np.save(folder / "firsts.npy", np.array(firsts))

    def piece(self, number: int, width: int, device) -> Tensor:
        """[tokens, rare] sparse"""
        starts = self.starts[self.firsts[number] : self.firsts[number + 1] + 1]
        part = slice(int(starts[0]), int(starts[-1]))
        columns = torch.from_numpy(self.columns[part].astype(np.int64)).to(device)
        values = torch.from_numpy(self.values[part]).to(device)
        return matrix(torch.from_numpy(starts - starts[0]).to(device), columns, values, (len(starts) - 1, width))


@dataclass(frozen=True)
class PairProducts:
    """Products of the features of `left` with those of `right`, some of `left` at a time."""

    left: Side
    right: Side
    onto: np.ndarray  # [d_left, k_right] float64, of `with_frequent(left, right)`
    back: np.ndarray  # [d_right, k_left], of `with_frequent(right, left)`
    by_token: RareByToken  # of right

    def of(self, features: np.ndarray, device) -> Tensor:
        """[n, d_right] float64"""
        found = np.zeros((len(features), self.right.entries.d_sae))
        found[:, self.right.frequent] = self.onto[features]
        rare = self.left.is_rare[features]
        often = np.flatnonzero(~rare)
        columns = self.left.column[features[often]]
        found[often[:, None], self.right.rare] = self.back[:, columns][self.right.rare].T
        found = torch.from_numpy(found).to(device)
        if rare.any():
            places = torch.from_numpy(np.flatnonzero(rare)).to(device)
            columns = torch.from_numpy(self.right.rare).to(device)
            found[places[:, None], columns] = self._among_rare(features[rare], device)
        return found

    def _among_rare(self, features: np.ndarray, device) -> Tensor:
        """Products of rare features with all rare ones of the other side. [n, rare] float64"""
        width = len(self.right.rare)
        found = torch.zeros(len(features) * width, dtype=torch.float64, device=device)
        for number, (size, starts, tokens, values) in enumerate(self.left.entries.of(features)):
            if len(tokens):
                left = [torch.from_numpy(part).to(device) for part in (starts, tokens.astype(np.int64), values)]
                pairs = matrix(*left, (len(features), size)) @ self.by_token.piece(number, width, device)
                counts = pairs.crow_indices().diff()
                rows = torch.repeat_interleave(torch.arange(len(features), device=device), counts)
                found.index_add_(0, rows * width + pairs.col_indices(), pairs.values().double())
        return found.view(len(features), width)
