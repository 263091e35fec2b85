"""What do some features show on the rows of a run? Examples, logits, effects at the top; nothing of other features."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch

from ..activity.examples import ChosenExamples, choose_examples
from ..collect.shown_entries import shown_entries
from ..results import FeatureStatistics, Neighbours, Relatives, ShownRows, no_correlates
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
    for each, logits, alignment in zip(chosen, *_tables(subject, [each.index for each in chosen]), strict=True):
        none = no_correlates()
        relatives = Relatives(alignment, none, none, Neighbours(none.indices, none.pearson))
        unknown = np.full((len(each.values), 3), np.nan, np.float32)
        columns = np.ascontiguousarray((effects or {}).get(each.index, unknown).T)
        shown = ShownRows(each.rows, each.offsets, each.positions, each.values, *columns)
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


@torch.no_grad()
def _tables(subject: Subject, features: list[int]) -> tuple[list, list]:
    """Logit table and neuron alignment of each."""
    features = np.array(features, np.int64)
    alignments = list(logit_tables.alignments(subject, features)) if len(features) else []
    if subject.why_no_effects or not len(features):
        return [logit_tables.no_logit_table()] * len(features), alignments
    unembedding = subject.model.unembedding
    # Centred: a final LayerNorm takes away what a direction adds to all of the stream alike.
    effects = unembedding.unscaled(unembedding.centre(subject.output_directions(features)))  # [n, d_vocab]
    return logit_tables.logit_tables(effects), alignments
