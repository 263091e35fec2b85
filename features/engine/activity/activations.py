"""The figures of features, read off their active entries: counts, moments, histogram, intervals, quantiles.

All are of the activation's size |f|, which for most SAEs is the activation; in those that give it a sign (abstopk,
signed top-k, identity) both signs count as active, and the examples keep them.

Panels: the activation histogram and the quantiles of sae_vis; the intervals of Bricken et al. (2023), "Towards
Monosemanticity", whose pages show examples from equal-width slices of a feature's range.
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
class SortedActivations:
    """The entries of n features, one after another, each one's largest activation first; equal ones in corpus order."""

    indices: list[int]
    offsets: np.ndarray  # [n + 1] where each feature's begin
    tokens: np.ndarray  # [e] uint32
    values: np.ndarray  # [e] float32, with their sign
    maxima: np.ndarray  # [n] float32, highest sizes, 0 of none; same as reference.maximum: exact
    bin_edges: np.ndarray  # [n, BINS + 1] float32, of the histograms
    below: np.ndarray  # [n, BINS + 1] how many sizes are below each of those; at the last, all
    interval_edges: np.ndarray  # [n, INTERVALS + 1] from the highest down
    above: np.ndarray  # [n, INTERVALS + 1] how many sizes are above each of those

    @classmethod
    def of(cls, block: list[FeatureEntries]) -> "SortedActivations":
        offsets = np.concatenate([[0], np.cumsum([len(entries.tokens) for entries in block])])
        tokens, values = np.empty(offsets[-1], np.uint32), np.empty(offsets[-1], np.float32)
        ascending = []  # sizes of each feature
        for entries, start, end in zip(block, offsets, offsets[1:], strict=False):
            order = _argsort_descending(np.abs(entries.values))
            # Each feature's entries stay in its own stretch of the block, offsets[n] to offsets[n + 1].
            tokens[start:end], values[start:end] = entries.tokens[order], entries.values[order]
            ascending.append(np.abs(values[start:end][::-1]))
        maxima = np.array([sizes[-1] if len(sizes) else 0 for sizes in ascending], np.float32)  # [n]
        bins, intervals = equal_edges(np.zeros_like(maxima), maxima), _interval_edges(maxima)[:, ::-1]
        # Counts between edges are differences of counts below (or above) them: two binary searches an edge.
        below = np.stack([_counts_below(sizes, edges) for sizes, edges in zip(ascending, bins, strict=True)])
        bounds = zip(ascending, _round_down(intervals), strict=True)
        above = np.stack([len(sizes) - np.searchsorted(sizes, edges, side="right") for sizes, edges in bounds])
        return cls(
            [entries.index for entries in block], offsets, tokens, values, maxima, bins, below, intervals, above
        )  # fmt: skip

    @cached_property
    def counts(self) -> np.ndarray:
        """Active tokens. [n]"""
        return np.diff(self.offsets)

    def sizes(self, n: int) -> np.ndarray:
        """|f| of a feature, descending. [m] float32"""
        return np.abs(self.values[self.offsets[n] : self.offsets[n + 1]])

    def mean(self, n: int) -> float:
        """Of the active values; summed in float64. Same as reference.mean_active: exact of float32 activations."""
        return float(self.sizes(n).mean(dtype=np.float64)) if self.counts[n] else 0.0

    def quantile_sketch(self, n: int) -> np.ndarray:
        """The values that quantiles are read off. [m] float32"""
        return values_at_ranks(self.sizes(n))

    def histograms(self) -> list[Histogram | None]:
        """Of the active values, in equal bins from 0 to the maximum. None where there are none.

        Same as reference.activation_histogram: edges are rounded to float32.
        """
        per_feature = zip(self.bin_edges, np.diff(self.below).astype(np.int64), self.counts, strict=True)
        return [Histogram(edges, counts) if total else None for edges, counts, total in per_feature]

    def intervals(self, n: int) -> list[tuple[float, float, int]]:
        """Equal-width slices low < size <= high of 0 to the maximum, highest first, as (low, high, how many values).
        Empty when there are no values. Same as reference.intervals: exact of float32 activations."""
        if not self.counts[n]:
            return []
        # Edges descend: an interval's upper end stands in front of its lower one.
        edges = self.interval_edges[n].tolist()
        return list(zip(edges[1:], edges[:-1], np.diff(self.above[n]).tolist(), strict=True))


def _argsort_descending(sizes: np.ndarray) -> np.ndarray:
    """Argsort of numbers >= 0, descending and stable. [m] float32 -> [m] int64"""
    # The bits of floats that are not negative are in the floats' order. One sort of 64-bit numbers then does for both:
    # above, 2**32 - 1 minus the float's bits; below, its index, which decides between equal ones.
    keys = np.uint64(0xFFFFFFFF) - sizes.view(np.uint32).astype(np.uint64)
    keys = keys << np.uint64(32) | np.arange(len(sizes), dtype=np.uint64)
    keys.sort()
    return (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)


def _round_down(edges: np.ndarray) -> np.ndarray:
    """The largest float32 that is not above each float64: a float32 is above both or above neither."""
    rounded = edges.astype(np.float32)
    return np.where(rounded > edges, np.nextafter(rounded, np.float32(-np.inf)), rounded)


def _interval_edges(maxima: np.ndarray) -> np.ndarray:
    """The eleven edges of the ten intervals of features. maxima [n] -> [n, 11] float64, from 0 on"""
    edges = np.arange(1, INTERVALS + 1) * maxima[:, None].astype(np.float64) / INTERVALS  # [n, 10]
    return np.concatenate([np.zeros((len(edges), 1)), edges], 1)  # 0 also of what is not finite


def _counts_below(ascending: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """How many values are below each edge; at the last one, below or on it. [b + 1]"""
    below = np.searchsorted(ascending, edges, side="left")
    # The last bin is closed at both ends, as numpy.histogram has it: the maximum lies in it.
    below[-1] = np.searchsorted(ascending, edges[-1], side="right")
    return below
