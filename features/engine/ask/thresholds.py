"""From which activation on does a feature count as active? From any, from a value, or from an act quantile on."""

import re
from dataclasses import dataclass

import numpy as np

from ..store.kept_entries import KeptEntries

WRITTEN = re.compile(r"(?P<quantile>q)?(?P<number>\d*\.?\d+(?:e-?\d+)?)")


@dataclass(frozen=True)
class ActiveFrom:
    """A threshold with some kept entries. [d_sae] each"""

    least: np.ndarray  # float32, the smallest size that counts
    counts: np.ndarray  # int64, tokens on which a feature is at least so large


@dataclass(frozen=True)
class Threshold:
    """Any activation, one of this size at least, or one whose act quantile is this at least."""

    value: float = 0.0
    quantile: float | None = None

    @classmethod
    def read(cls, written: str) -> "Threshold":
        """Of "any" or "", of a value "1.5", or of a quantile "q0.999". Raises ValueError."""
        written = written.strip().lower()
        match = WRITTEN.fullmatch(written)
        if written in ("", "any"):
            return cls()
        if match is None or (match["quantile"] and not 0 <= float(match["number"]) < 1):
            raise ValueError(
                f"{written[:40]!r} is no threshold of activations. Give any, a size such as 1.5, or an act quantile "
                "such as q0.999, from q0 to below q1."
            )
        number = float(match["number"])
        return cls(quantile=number) if match["quantile"] else cls(value=number)

    def __str__(self):
        if self.quantile is not None:
            return f"q{self.quantile:g}"
        return f"{self.value:g}" if self.value else "any"

    def of(self, kept: KeptEntries, counted: int) -> "ActiveFrom":
        """From which size on each feature counts, and on how many of the `counted` tokens it does."""
        if self.quantile is None and not self.value:
            return ActiveFrom(np.zeros(kept.d_sae, np.float32), kept.counts)
        from ..kernels.numba.token_sums import count_large, sizes_exceeded

        values, offsets = np.asarray(kept.feature_values), kept.feature_offsets
        least = np.full(kept.d_sae, np.float32(self.value))
        if self.quantile is not None:
            too_small, most = np.zeros(kept.d_sae, np.uint32), self._most(counted)
            sizes_exceeded(values.view(np.uint32), offsets, most, too_small)
            too_small = np.nextafter(too_small.view(np.float32), np.float32(np.inf))
            least = np.where(kept.counts > most, too_small, np.float32(0))
        counts = np.zeros(kept.d_sae, np.int64)
        count_large(values, offsets, least, counts)
        return ActiveFrom(least, counts)

    def least_of(self, values: np.ndarray, counted: int) -> np.float32:
        """The same of one feature, by its active values. [n]"""
        if self.quantile is None:
            return np.float32(self.value)
        most = self._most(counted)
        return _least_of(values, most) if len(values) > most else np.float32(0)

    def _most(self, counted: int) -> int:
        """On so many tokens a feature may be as large. Same as reference_questions.active_from: exact."""
        return int(np.floor((1 - self.quantile) * counted + 1e-9))


def _least_of(values: np.ndarray, most: int) -> np.float32:
    """The smallest float32 that no more than `most` of the values reach in size. [n], n above `most`"""
    sizes = np.abs(values)
    # The first that is too many, and all that are equal to it, are too small.
    too_small = np.partition(sizes, len(sizes) - most - 1)[len(sizes) - most - 1]
    return np.nextafter(too_small, np.float32(np.inf))
