"""How well does one feature go with a pattern? The figures of scores.py, of its entries alone."""

from dataclasses import asdict, dataclass

import numpy as np

from ..store.active_entries import FeatureEntries
from ..store.kept_entries import KeptEntries
from .thresholds import Threshold


class OfCounts:
    """What follows from the counts `active`, `held` and `hits`: n(a), n(m), n(a m)."""

    @property
    def precision(self) -> float | None:
        return self.hits / self.active if self.active else None

    @property
    def recall(self) -> float | None:
        return self.hits / self.held if self.held else None

    @property
    def f1(self) -> float:
        """0 without a hit; else the harmonic mean of precision and recall, which is this."""
        return 2 * self.hits / (self.active + self.held) if self.hits else 0.0


@dataclass(frozen=True)
class OneFeature(OfCounts):
    """Counts of a feature with a pattern. Same as reference_questions.pattern_scores: exact."""

    tokens: int  # counted
    held: int  # of them, those on which the pattern holds: n(m)
    active: int  # n(a)
    hits: int  # n(a m)

    @classmethod
    def of(cls, kept: KeptEntries, index: int, held: np.ndarray, counted: int, threshold: Threshold) -> "OneFeature":
        """`held` [tokens] bool where the pattern holds, `counted` tokens in all."""
        return cls.of_entries(kept.feature(index), held, counted, threshold)

    @classmethod
    def of_entries(cls, entries: FeatureEntries, held: np.ndarray, counted: int, threshold: Threshold) -> "OneFeature":
        """The same of a feature's entries, wherever they lie."""
        active = entries.tokens[np.abs(entries.values) >= threshold.least_of(entries.values, counted)]
        return cls(counted, int(held.sum()), len(active), int(held[active].sum()))

    def to_dict(self) -> dict:
        return asdict(self) | {name: getattr(self, name) for name in ("f1", "precision", "recall")}
