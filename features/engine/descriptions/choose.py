"""Which simple pattern goes best with a feature? Chosen on even rows, measured on odd ones.

A few pure counts of each feature's own tokens, against tables of the text: no pattern is ever put to the whole text.
Same as reference_questions.description: the same choice, equal ones and all.
"""

from dataclasses import dataclass

import numpy as np

from ..ask.one_feature import OfCounts
from ..kernels.numba.tallies import add_to_lists, grow, tally, tally_bits
from ..store.kept_entries import KeptEntries
from .family import LEAST_ACTIVATIONS, LEAST_F1, PROPERTIES, SLOTS, TOKENS_NAMED, Literal, named
from .half import Among, Bit, Condition, Half
from .text_table import TextTable

GAIN_OF_A_TOKEN, GAIN_OF_A_SECOND = 0.01, 0.03  # of F1, on even rows: what another token, or a condition, has to bring


@dataclass(frozen=True)
class PatternDescription(OfCounts):
    """A pattern and how well it goes with a feature on odd rows, all activations counted, whatever their size."""

    pattern: str
    words: str
    chosen_f1: float  # on even rows
    active: int  # on odd rows: n(a)
    held: int  # n(m)
    hits: int  # n(a m)

    @property
    def is_simple(self) -> bool:
        """Whether it says anything: below that there is no simple pattern."""
        return self.f1 >= LEAST_F1


class Describer:
    """Describes features, one after another."""

    def __init__(self, table: TextTable):
        self.table, self.even, self.odd = table, Half(table, odd=False), Half(table, odd=True)
        self._counts, self._seen = np.zeros(len(table.labels), np.int64), np.zeros(len(table.labels), np.int32)
        self._affix_sizes = np.zeros(len(table.affixes), np.int64)
        add_to_lists(np.arange(len(table.labels)), self.even.sizes[0], *table.label_affixes, self._affix_sizes)

    def describe(self, tokens: np.ndarray) -> PatternDescription | None:
        """Of the tokens [n] on which a feature is active; None where it is on none of an even row."""
        in_odd = self.table.in_odd_row(tokens)
        even, odd = tokens[~in_odd], tokens[in_odd]
        found = self._best(even)
        if found is None:
            return None
        chosen_f1, conditions = found
        held = self.odd.size(conditions[0]) if len(conditions) == 1 else self.odd.size_of_both(*conditions)
        hits = int(np.logical_and.reduce([self.odd.holds(one, odd) for one in conditions]).sum())
        said = self._said(conditions)
        return PatternDescription(said.pattern, said.words, chosen_f1, len(odd), held, hits)

    # The choice

    def _best(self, tokens: np.ndarray) -> tuple[float, list[Condition]] | None:
        """F1 on even rows, and one condition or two, the first not negated. Of equal ones the first that was tried."""
        heads = list(self._heads(tokens))
        if not heads:
            return None
        f1, best = max(heads, key=lambda head: head[0])  # the first of equal ones
        found = f1, [best]
        for _, head in heads:
            within = tokens[self.even.holds(head, tokens)]
            # Both hold on all of these at best, and nowhere else.
            if 2 * len(within) / (len(tokens) + len(within)) < max(found[0], f1 + GAIN_OF_A_SECOND):
                continue
            for joint_f1, tail in self._tails(head, within, len(tokens)):
                if joint_f1 >= f1 + GAIN_OF_A_SECOND and joint_f1 > found[0]:
                    found = joint_f1, [head, tail]
        return found

    def _heads(self, tokens: np.ndarray):
        """Of each kind of condition the best one, with its F1."""
        active = len(tokens)
        if f1_and_labels := self._grown(0, tokens, active):
            yield f1_and_labels[0], Among(0, f1_and_labels[1])
        if found := self._affix(tokens):
            yield found
        if found := self._bit(tokens):
            yield found
        for slot in (1, 2):
            if f1_and_labels := self._grown(slot, tokens, active):
                yield f1_and_labels[0], Among(slot, f1_and_labels[1])

    def _tails(self, head: Condition, within: np.ndarray, active: int):
        """What may be asked besides: conditions with the F1 of both. `within` [n]: tokens on which the head holds."""
        if not len(within):
            return
        hits, sizes = self._bit_counts(within), self.even.bits_within(head)
        size = self.even.size(head)
        for negated in (False, True):
            both = (len(within) - hits, size - sizes) if negated else (hits, sizes)
            f1 = 2 * both[0] / (active + both[1])
            yield float(f1.max()), Bit(int(f1.argmax()), negated)
        for slot in range(3):
            if not (isinstance(head, Among) and head.slot == slot) and (
                found := self._grown(slot, within, active, head)
            ):
                yield found[0], Among(slot, found[1])

    # One kind each

    def _grown(self, slot: int, tokens: np.ndarray, active: int, head: Condition | None = None):
        """F1 and labels of the set of texts that goes best with the tokens where, if given, the head holds."""
        seen = self._seen[: tally(self.table.slots[slot], tokens, self._counts, self._seen)]
        named_ones = seen[self.table.can_be_named[seen]]
        sizes = self.even.sizes[slot]
        if head is not None:
            # Of the labels that were not met the sizes are not asked for.
            sizes = np.zeros_like(sizes)
            sizes[named_ones] = self.even.labels_within(head, slot, named_ones)
        chosen = np.zeros(TOKENS_NAMED, np.int32)
        f1, count = grow(named_ones, self._counts, sizes, active, TOKENS_NAMED, GAIN_OF_A_TOKEN, chosen)
        self._counts[seen] = 0
        return (f1, np.sort(chosen[:count])) if count else None

    def _affix(self, tokens: np.ndarray) -> tuple[float, Among] | None:
        if not len(self.table.affixes) or not len(tokens):
            return None
        seen = self._seen[: tally(self.table.slots[0], tokens, self._counts, self._seen)]
        hits = np.zeros(len(self.table.affixes), np.int64)
        add_to_lists(seen, self._counts, *self.table.label_affixes, hits)
        self._counts[seen] = 0
        f1 = 2 * hits / (len(tokens) + self._affix_sizes)
        best = int(f1.argmax())
        return (float(f1[best]), self._affix_condition(best)) if hits[best] else None

    def _affix_condition(self, number: int) -> Among:
        offsets, labels = self.table.affix_labels
        return Among(0, labels[offsets[number] : offsets[number + 1]], number)

    def _bit(self, tokens: np.ndarray) -> tuple[float, Bit] | None:
        hits = self._bit_counts(tokens)
        f1 = 2 * hits / np.maximum(1, len(tokens) + self.even.bit_sizes)
        return (float(f1.max()), Bit(int(f1.argmax()))) if hits.any() else None

    def _bit_counts(self, tokens: np.ndarray) -> np.ndarray:
        counts = np.zeros(len(self.table.literals), np.int64)
        tally_bits(self.table.bits, tokens, counts)
        return counts

    # In words

    def _said(self, conditions: list[Condition]) -> Literal:
        """What is asked of the token first, then of those beside it, then where it stands; what must not be, last."""
        first, *rest = sorted(conditions, key=self._reading_order)
        said = self._literal(first)
        for one in rest:
            said = said.but_not(self._literal(one)) if _is_negated(one) else said.and_also(self._literal(one))
        return said

    def _reading_order(self, condition: Condition) -> tuple:
        if isinstance(condition, Among):
            return False, condition.slot
        return condition.negated, condition.number // len(PROPERTIES)

    def _literal(self, condition: Condition) -> Literal:
        if isinstance(condition, Bit):
            return self.table.literals[condition.number]
        if condition.affix is not None:
            return self.table.affixes[condition.affix]
        return named(SLOTS[condition.slot], [self.table.labels[label] for label in condition.labels.tolist()])


def _is_negated(condition: Condition) -> bool:
    return isinstance(condition, Bit) and condition.negated


def descriptions(
    kept: KeptEntries, table: TextTable, progress=lambda done, total: None
) -> list[PatternDescription | None]:
    """Of every feature; None of those that are too rare. `progress(done, total)` hears of features, and may raise to
    stop."""
    describer, found = Describer(table), []
    for index, count in enumerate(kept.counts.tolist()):
        progress(index, kept.d_sae)
        rare = count < LEAST_ACTIVATIONS
        found.append(None if rare else describer.describe(kept.feature(index).tokens.astype(np.int64)))
    return found
