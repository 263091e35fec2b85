"""What do some features show on the rows of a run? Examples, logits, effects at the top; nothing of other features."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

import numpy as np

from ..activity.examples import ChosenExamples, choose_examples
from ..collect.shown_entries import shown_entries
from ..results import FeatureStatistics, Neighbours, Relatives, no_correlates
from ..subject import Subject
from ..weights import logit_tables
from ..weights.loss_effects import effects_at
from .rows_pass import RowsReading

SEED = 0  # of the examples drawn


def single_features(
    reading: RowsReading, features: Collection[int], with_effects: Collection[int] = ()
) -> Iterator[FeatureStatistics]:
    """Of each of `features`, ascending, as a computation on these rows would find them, but what other features go with
    it. Loss effects stand at the top activations of `with_effects` alone, NaN elsewhere."""
    chosen = [
        each for block in reading.entries.blocks(features) for each in choose_examples(block, reading.layout, SEED)
    ]
    effects = _effects(reading, [each for each in chosen if each.index in set(with_effects)])
    yield from as_statistics(chosen, reading.subject, reading.plan.tokens, effects)


def as_statistics(
    chosen: list[ChosenExamples], subject: Subject, tokens: int, effects: Mapping[int, np.ndarray] | None = None
) -> Iterator[FeatureStatistics]:
    """The same of examples that are chosen; `effects`: loss, loss effect and logit effect [n, 3] of some features."""
    features = np.array([each.index for each in chosen], np.int64)
    tables, alignments = logit_tables.tables_of(subject, features), logit_tables.alignments(subject, features)
    for each, logits, alignment in zip(chosen, tables, alignments, strict=True):
        none = no_correlates()
        relatives = Relatives(alignment, none, none, Neighbours(none.indices, none.pearson))
        unknown = np.full((len(each.values), 3), np.nan, np.float32)
        shown = each.with_effects((effects or {}).get(each.index, unknown))
        yield FeatureStatistics(each.index, tokens, each.activity, each.examples, relatives, logits, shown)


def _effects(reading: RowsReading, chosen: list[ChosenExamples]) -> dict[int, np.ndarray]:
    """Loss, loss effect and logit effect at the values of each feature, NaN but for its top activations. [n, 3] each"""
    at_top = [_near_top(each) for each in chosen]
    entries, indices = shown_entries(at_top)
    ends = np.cumsum([len(each.values) for each in chosen], dtype=int)
    found = np.full((ends[-1] if len(ends) else 0, 3), np.nan, np.float32)
    if len(entries):
        found[indices] = effects_at(reading.subject, reading.layout.rows, entries, lambda done, total: None)
    # The values of all features lie one behind the other: each one's are cut out again.
    return {each.index: part for each, part in zip(chosen, np.split(found, ends[:-1]), strict=True)} if chosen else {}


def _near_top(chosen: ChosenExamples) -> ChosenExamples:
    """The same, with effects asked for at its top activations alone."""
    top = chosen.examples.top
    wanted = set(zip(top.rows.tolist(), top.positions.tolist(), strict=True))
    rows = np.repeat(chosen.rows, np.diff(chosen.offsets))  # [n] of each value
    values = zip(rows.tolist(), chosen.positions.tolist(), strict=True)
    return replace(chosen, near=np.array([value in wanted for value in values], bool))
