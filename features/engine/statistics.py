"""The figures of one feature, read off its active entries: counts, moments, histogram, intervals, quantiles.

All are of the activation's size |f|, which for most SAEs is the activation; in those that give it a sign (abstopk,
signed top-k, identity) both signs count as active, and the examples keep them.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .entries import FeatureEntries
from .quantiles import values_at_ranks
from .results import Histogram

BINS = 50
INTERVALS = 10


@dataclass(frozen=True)
class SortedEntries:
    """A feature's entries, largest activation first; equal ones in corpus order."""

    index: int
    tokens: np.ndarray  # [n] uint32
    values: np.ndarray  # [n] float32, with their sign

    @cached_property
    def sizes(self) -> np.ndarray:
        """[n] float32, descending"""
        return np.abs(self.values)

    @classmethod
    def of(cls, entries: FeatureEntries) -> "SortedEntries":
        # Bits of a float that is not negative are in its order: one sort of whole numbers, place by place where equal.
        sizes = np.abs(entries.values).view(np.uint32).astype(np.uint64)
        keys = (np.uint64(0xFFFFFFFF) - sizes) << np.uint64(32) | np.arange(len(sizes), dtype=np.uint64)
        keys.sort()
        order = (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)
        return cls(entries.index, entries.tokens[order], entries.values[order])

    @property
    def maximum(self) -> float:
        return float(self.sizes[0]) if len(self.sizes) else 0.0

    @property
    def mean(self) -> float:
        """Of the active values; summed in float64."""
        return float(self.sizes.mean(dtype=np.float64)) if len(self.sizes) else 0.0

    def histogram(self) -> Histogram | None:
        """Of the active values, in equal bins from 0 to the maximum. None when there are none."""
        return histogram(self.sizes[::-1], equal_edges(0.0, self.maximum)) if len(self.sizes) else None

    def ladder(self) -> np.ndarray:
        """The values that quantiles are read off. [n] float32"""
        return values_at_ranks(self.sizes)

    def intervals(self) -> list[tuple[float, float, slice]]:
        """Equal-width slices low < size <= high of 0 to the maximum, highest first, as (low, high,
        where they stand in this order). Empty when there are no values."""
        if not len(self.sizes):
            return []
        edges = interval_edges(self.maximum)
        # From the highest edge down: how many values lie above each edge.
        above = np.searchsorted(-self.sizes.astype(np.float64), -edges[::-1], side="left")
        return [
            (float(low), float(high), slice(int(above[n]), int(above[n + 1])))
            for n, (high, low) in enumerate(zip(edges[:0:-1], edges[-2::-1], strict=True))
        ]


def interval_edges(maximum: float) -> np.ndarray:
    """The eleven edges of the ten intervals of a feature. [11] float64, 0 to `maximum`"""
    return np.arange(INTERVALS + 1) * maximum / INTERVALS


def histogram(ascending: np.ndarray, edges: np.ndarray) -> Histogram:
    """Counts of sorted values between edges, left edges inside, the last bin closed."""
    below = np.searchsorted(ascending, edges, side="left")
    below[-1] = np.searchsorted(ascending, edges[-1], side="right")
    return Histogram(edges, np.diff(below).astype(np.int64))


def equal_edges(low: float, high: float, bins: int = BINS) -> np.ndarray:
    """[bins + 1] float32"""
    return np.linspace(low, high, bins + 1, dtype=np.float32)
