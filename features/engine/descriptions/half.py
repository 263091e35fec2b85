"""On how many tokens do patterns hold, in every second row of a text? Counts from which those of joined ones follow.

Descriptions are chosen on even rows and measured on odd ones, each with a table of its own.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ..kernels.numba.tallies import add_lists, clear_lists, tally_bits_by_class
from .text_table import TextTable

TOKENS_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class Among:
    """The token's label in a slot is one of these. labels [n] int32, ascending; `affix`: they are all that have this"""

    slot: int
    labels: np.ndarray
    affix: int | None = None


@dataclass(frozen=True)
class Bit:
    """One of the table's literals holds, or does not."""

    number: int
    negated: bool = False


Condition = Among | Bit


@dataclass(frozen=True)
class Half:
    """The counted tokens of the even, or of the odd, rows."""

    table: TextTable
    odd: bool
    _sums: np.ndarray = field(init=False)  # [labels] int64, 0 between calls
    _is_among: np.ndarray = field(init=False)  # [labels + 1] bool, false between calls; the last is no label's

    def __post_init__(self):
        object.__setattr__(self, "_sums", np.zeros(len(self.table.labels), np.int64))
        object.__setattr__(self, "_is_among", np.zeros(len(self.table.labels) + 1, bool))

    @cached_property
    def counted(self) -> np.ndarray:
        """[tokens] bool"""
        return self.table.counted & (self.table.in_odd_row(np.arange(self.table.tokens)) == self.odd)

    @cached_property
    def sizes(self) -> np.ndarray:
        """Tokens with each label in each slot. [3, labels] int64"""
        found = [slot[self.counted & (slot >= 0)] for slot in self.table.slots]
        return np.stack([np.bincount(labels, minlength=len(self.table.labels)) for labels in found])

    @cached_property
    def bit_sizes(self) -> np.ndarray:
        """Tokens on which each literal holds. [literals] int64"""
        # On a token a literal holds with itself where it holds.
        return self.bit_pairs.diagonal().copy()

    @cached_property
    def bit_pairs(self) -> np.ndarray:
        """Tokens on which two of them hold. [literals, literals] int64"""
        count, tokens = len(self.table.literals), self.table.bits[self.counted]
        pairs, shifts = np.zeros((count, count)), np.arange(count, dtype=np.uint64)
        for first in range(0, len(tokens), TOKENS_AT_ONCE):
            # float32 counts a block exactly, and multiplies quickly.
            holds = (tokens[first : first + TOKENS_AT_ONCE, None] >> shifts & np.uint64(1)).astype(np.float32)
            pairs += holds.T @ holds
        return pairs.astype(np.int64)

    @cached_property
    def bits_by_label(self) -> np.ndarray:
        """Tokens with a label in a slot on which a literal holds. [3, labels, literals] int32"""
        counts = np.zeros((3, len(self.table.labels), len(self.table.literals)), np.int32)
        for slot, into in zip(self.table.slots, counts, strict=True):
            tally_bits_by_class(slot, self.table.bits, self.counted, into)
        return counts

    @cached_property
    def label_pairs(self) -> dict[tuple[int, int], tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """(slot, other slot) -> of each label in the one, the labels in the other and on how many tokens they meet:
        offsets [labels + 1] int64, labels int32, counts int32."""
        return {(a, b): self._pairs(a, b) for a in range(3) for b in range(3) if a != b}

    def _pairs(self, a: int, b: int):
        first, second = (self.table.slots[slot] for slot in (a, b))
        both, count = self.counted & (first >= 0) & (second >= 0), len(self.table.labels)
        # label * count + other names a pair in one number, so that equal pairs are counted by sorting numbers.
        keys, numbers = np.unique(first[both].astype(np.int64) * count + second[both], return_counts=True)
        labels, others = np.divmod(keys, max(1, count))
        # Keys ascend, so pairs of one label stand together: CSR row pointers by where each label begins.
        offsets = np.searchsorted(labels, np.arange(count + 1))
        return offsets, others.astype(np.int32), numbers.astype(np.int32)

    # Of what a condition leaves

    def size(self, condition: Condition) -> int:
        if isinstance(condition, Among):
            return int(self.sizes[condition.slot][condition.labels].sum())
        holds = int(self.bit_sizes[condition.number])
        return int(self.counted.sum()) - holds if condition.negated else holds

    def bits_within(self, condition: Condition) -> np.ndarray:
        """Tokens on which each literal and the condition, which is not negated, hold. [literals] int64"""
        if isinstance(condition, Bit):
            return self.bit_pairs[condition.number]
        return self.bits_by_label[condition.slot][condition.labels].sum(0, dtype=np.int64)

    def labels_within(self, condition: Condition, slot: int, wanted: np.ndarray) -> np.ndarray:
        """Tokens with each of the labels `wanted` [n] in another slot, on which the condition holds. [n] int64"""
        if isinstance(condition, Bit):
            return self.bits_by_label[slot][wanted, condition.number].astype(np.int64)
        offsets, others, numbers = self.label_pairs[condition.slot, slot]
        add_lists(condition.labels, offsets, others, numbers, self._sums)
        found = self._sums[wanted]
        clear_lists(condition.labels, offsets, others, self._sums)
        return found

    def size_of_both(self, first: Condition, second: Condition) -> int:
        """Tokens on which both hold; the first one is not negated."""
        if isinstance(second, Among):
            return int(self.labels_within(first, second.slot, second.labels).sum())
        holds = int(self.bits_within(first)[second.number])
        # Tokens of the first on which the second does not hold are those that are left.
        return self.size(first) - holds if second.negated else holds

    # Of a feature

    def holds(self, condition: Condition, tokens: np.ndarray) -> np.ndarray:
        """On which of some tokens it holds. [n] -> [n] bool"""
        if isinstance(condition, Bit):
            return (self.table.bits[tokens] >> np.uint64(condition.number) & np.uint64(1) == 1) != condition.negated
        self._is_among[condition.labels] = True
        found = self._is_among[self.table.slots[condition.slot][tokens]]  # -1, no label, reads the last
        self._is_among[condition.labels] = False
        return found
