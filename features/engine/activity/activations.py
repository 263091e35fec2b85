"""The figures of features, read off their active entries: counts, moments, histogram, intervals, quantiles.

All are of the activation's size |f|, which for most SAEs is the activation; in those that give it a sign (abstopk,
signed top-k, identity) both signs count as active, and the examples keep them.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..bins import equal_edges
from ..results import Histogram
from ..store.active_entries import FeatureEntries
from .quantiles import values_at_ranks

INTERVALS = 10


@dataclass(frozen=True)
class Ordered:
    """The entries of n features, one after another, each one's largest activation first; equal ones in corpus order."""

    indices: list[int]
    starts: np.ndarray  # [n + 1] where each feature's begin
    tokens: np.ndarray  # [e] uint32
    values: np.ndarray  # [e] float32, with their sign
    maxima: np.ndarray  # [n] float32, highest sizes, 0 of none
    bars: np.ndarray  # [n, BINS + 1] float32, edges of the histograms
    below: np.ndarray  # [n, BINS + 1] how many sizes are below each of those; at the last, all
    edges: np.ndarray  # [n, INTERVALS + 1] of the intervals, from the highest down
    above: np.ndarray  # [n, INTERVALS + 1] how many sizes are above each of those

    @classmethod
    def of(cls, block: list[FeatureEntries]) -> "Ordered":
        starts = np.concatenate([[0], np.cumsum([len(one.tokens) for one in block])])
        tokens, values = np.empty(starts[-1], np.uint32), np.empty(starts[-1], np.float32)
        sizes = []  # ascending
        for one, start, end in zip(block, starts, starts[1:], strict=False):
            order = _descending(np.abs(one.values))
            tokens[start:end], values[start:end] = one.tokens[order], one.values[order]
            sizes.append(np.abs(values[start:end][::-1]))
        maxima = np.array([own[-1] if len(own) else 0 for own in sizes], np.float32)
        bars, edges = equal_edges(np.zeros_like(maxima), maxima), interval_edges(maxima)[:, ::-1]
        below = np.stack([_below(*own) for own in zip(sizes, bars, strict=True)])
        slices = zip(sizes, _not_above(edges), strict=True)
        above = np.stack([len(own) - np.searchsorted(own, least, side="right") for own, least in slices])
        return cls([one.index for one in block], starts, tokens, values, maxima, bars, below, edges, above)

    @cached_property
    def counts(self) -> np.ndarray:
        """Active tokens. [n]"""
        return np.diff(self.starts)

    def sizes(self, n: int) -> np.ndarray:
        """|f| of a feature, descending. [m] float32"""
        return np.abs(self.values[self.starts[n] : self.starts[n + 1]])

    def mean(self, n: int) -> float:
        """Of the active values; summed in float64. Same as reference.mean_active: exact of float32 activations."""
        return float(self.sizes(n).mean(dtype=np.float64)) if self.counts[n] else 0.0

    def ladder(self, n: int) -> np.ndarray:
        """The values that quantiles are read off. [m] float32"""
        return values_at_ranks(self.sizes(n))

    def histograms(self) -> list[Histogram | None]:
        """Of the active values, in equal bins from 0 to the maximum. None where there are none.

        Same as reference.activation_histogram: edges are rounded to float32.
        """
        found = zip(self.bars, np.diff(self.below).astype(np.int64), self.counts, strict=True)
        return [Histogram(edges, counts) if total else None for edges, counts, total in found]

    def intervals(self, n: int) -> list[tuple[float, float, int]]:
        """Equal-width slices low < size <= high of 0 to the maximum, highest first, as (low, high, how many values).
        Empty when there are no values. Same as reference.intervals: exact of float32 activations."""
        if not self.counts[n]:
            return []
        edges = self.edges[n].tolist()
        return list(zip(edges[1:], edges[:-1], np.diff(self.above[n]).tolist(), strict=True))


def _descending(sizes: np.ndarray) -> np.ndarray:
    """Places of numbers >= 0 from the largest on, equal ones as they come. [m] int64"""
    # Bits of a float that is not negative are in its order: one sort of whole numbers, place by place where equal.
    keys = np.uint64(0xFFFFFFFF) - sizes.view(np.uint32).astype(np.uint64)
    keys = keys << np.uint64(32) | np.arange(len(sizes), dtype=np.uint64)
    keys.sort()
    return (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)


def _not_above(edges: np.ndarray) -> np.ndarray:
    """The largest float32 that is not above each float64: floats of the shorter kind are above both or neither."""
    short = edges.astype(np.float32)
    return np.where(short > edges, np.nextafter(short, np.float32(-np.inf)), short)


def interval_edges(maxima: np.ndarray) -> np.ndarray:
    """The eleven edges of the ten intervals of features. maxima [n] -> [n, 11] float64, from 0 on"""
    edges = np.arange(1, INTERVALS + 1) * maxima[:, None].astype(np.float64) / INTERVALS
    return np.concatenate([np.zeros((len(edges), 1)), edges], 1)  # 0 also of what is not finite


def histogram(ascending: np.ndarray, edges: np.ndarray) -> Histogram:
    """Counts of sorted values between edges, left edges inside, the last bin closed.

    Same as reference.histogram: exact between these edges.
    """
    return Histogram(edges, np.diff(_below(ascending, edges)).astype(np.int64))


def _below(ascending: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """How many values are below each edge; at the last one, below or on it."""
    below = np.searchsorted(ascending, edges, side="left")
    below[-1] = np.searchsorted(ascending, edges[-1], side="right")
    return below
