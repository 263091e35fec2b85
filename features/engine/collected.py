"""The outcome of a pass over the corpus: figures of the SAE at once, those of its features one after another."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from . import tables
from .correlations import Correlations
from .effects import Activations, Effects, effects_of
from .entries import Entries, FeatureEntries
from .examples import Grid, interval_examples, near_examples, random_examples, random_generator, top_examples
from .logits import Directions
from .results import Examples, FeatureStatistics, Histogram, Interval, Progress, ShownRows, Summary
from .statistics import SortedEntries
from .subject import Subject

FEATURES_AT_ONCE = 256  # whose tables are computed together
REPORT_EVERY = 0.5  # seconds


class Report:
    """Hands progress on, but not more often than a reader can follow."""

    def __init__(self, progress: Callable[[Progress], None] | None):
        self.progress, self.last = progress, 0.0

    def __call__(self, phase: str, done: int, total: int, always: bool = False) -> None:
        now = time.monotonic()
        if self.progress and (always or now - self.last >= REPORT_EVERY):
            self.last = now
            self.progress(Progress(phase, done, total))


@dataclass(frozen=True)
class _Chosen:
    """What one feature's entries say: everything but the effects and the tables of the weights."""

    index: int
    count: int
    maximum: float
    mean: float
    histogram: Histogram | None
    quantiles: np.ndarray
    top: Examples
    random: Examples
    intervals: tuple[Interval, ...]
    rows: np.ndarray  # [r] shown rows, ascending
    starts: np.ndarray  # [r + 1]
    positions: np.ndarray  # [e]
    values: np.ndarray  # [e]
    near: np.ndarray  # [e] bool, close enough to an example for its effects to be computed


class Collected:
    """The outcome of a pass: figures of the SAE at once, those of its features one after another."""

    def __init__(
        self,
        subject: Subject,
        grid: Grid,
        entries: Entries,
        correlations: Correlations,
        summary: Summary,
        seed: int = 0,
        features: Iterable[int] | None = None,
        report: Report | None = None,
    ):
        self.subject, self.grid, self.entries, self.correlations = subject, grid, entries, correlations
        self.summary, self.seed, self.report = summary, seed, report or Report(None)
        self.indices = sorted(set(range(entries.d_sae) if features is None else features))

    @property
    def tokens(self) -> int:
        return self.summary.tokens

    def __len__(self) -> int:
        return len(self.indices)

    def features(self, indices: Iterable[int] | None = None) -> Iterator[FeatureStatistics]:
        """Every asked-for feature in index order: of `indices`, else of those that were asked for in the beginning."""
        wanted = np.array(self.indices if indices is None else sorted(set(indices)), np.int64)
        directions = Directions.of(self.subject.model.head, self.subject.output_directions(wanted))
        chosen = [self._choose(entries) for entries in self._reported(self.entries.features(wanted), len(wanted))]
        effects = self._effects(chosen, wanted, directions)
        at = 0
        for start in range(0, len(chosen), FEATURES_AT_ONCE):
            part = chosen[start : start + FEATURES_AT_ONCE]
            logits = directions.effects.take(torch.arange(start, start + len(part), device=self.subject.device))
            for one, known in zip(part, self._tables(part, logits), strict=True):
                yield self._statistics(one, known, effects, at)
                at += len(one.values)

    def _reported(self, entries: Iterator[FeatureEntries], total: int) -> Iterator[FeatureEntries]:
        for done, feature in enumerate(entries):
            self.report("examples", done, total)
            yield feature

    def _choose(self, entries: FeatureEntries) -> _Chosen:
        ordered, rng = SortedEntries.of(entries), random_generator(self.seed, entries.index)
        top = top_examples(ordered, self.grid)
        random = random_examples(ordered, self.grid, rng)
        intervals = interval_examples(ordered, self.grid, rng)
        groups = [top, random, *(interval.examples for interval in intervals)]
        rows = np.unique(np.concatenate([group.rows for group in groups]))
        starts, places, values = self._active_in(entries, rows)
        return _Chosen(
            entries.index, len(entries.tokens), ordered.maximum, ordered.mean, ordered.histogram(),
            ordered.ladder(), top, random, intervals, rows, starts,
            self.grid.places(places)[1], values, near_examples(places, groups, self.grid),
        )  # fmt: skip

    def _active_in(self, entries: FeatureEntries, rows: np.ndarray):
        """The feature's entries within some rows, as (where each row's begin, tokens, values)."""
        begins = np.searchsorted(entries.tokens, rows * self.grid.width)
        ends = np.searchsorted(entries.tokens, (rows + 1) * self.grid.width)
        starts = np.concatenate([[0], np.cumsum(ends - begins)])
        within = np.repeat(begins - starts[:-1], ends - begins) + np.arange(starts[-1])
        return starts, entries.tokens[within], entries.values[within]

    def _effects(self, chosen: list[_Chosen], features: np.ndarray, directions: Directions) -> Effects:
        """Of all entries of all features behind each other; NaN for those far from every example."""
        activations = Activations(
            np.repeat([one.index for one in chosen], [len(one.values) for one in chosen]).astype(np.int64),
            _joined((np.repeat(one.rows, np.diff(one.starts)) for one in chosen), np.int64),
            _joined((one.positions for one in chosen), np.int64),
            _joined((one.values for one in chosen), np.float32),
        )
        near = _joined((one.near for one in chosen), bool)
        return effects_of(
            self.subject, self.grid.rows, activations, near, features, directions,
            lambda *at: self.report("loss effects", *at),
        )  # fmt: skip

    def _tables(self, part: list[_Chosen], logits: Tensor):
        """(logit table, alignment, correlated neurons, features and those of B, neighbours) of each."""
        features = np.array([one.index for one in part])
        cosines = self.correlations.decoder_cosines(features)
        return zip(
            tables.logit_tables(logits),
            tables.alignments(self.subject, features),
            self.correlations.neurons(features),
            self.correlations.features(features, cosines),
            self.correlations.second_features(features),
            tables.neighbours(cosines, features),
            strict=True,
        )

    def _statistics(self, one: _Chosen, known, effects: Effects, at: int) -> FeatureStatistics:
        logits, alignment, neurons, features, features_b, neighbours = known
        part = slice(at, at + len(one.values))
        return FeatureStatistics(
            index=one.index,
            tokens=self.tokens,
            count=one.count,
            maximum=one.maximum,
            mean=one.mean,
            activation_histogram=one.histogram,
            quantiles=one.quantiles,
            logit_histogram=logits.histogram,
            positive_logits=logits.positive,
            negative_logits=logits.negative,
            alignment=alignment,
            correlated_neurons=neurons,
            correlated_features=features,
            correlated_b=features_b,
            neighbours=neighbours,
            top=one.top,
            random=one.random,
            intervals=one.intervals,
            shown=ShownRows(
                one.rows, one.starts, one.positions.astype(np.int16), one.values,
                effects.losses[part], effects.loss_effects[part], effects.logit_effects[part],
            ),
        )  # fmt: skip


def _joined(parts, kind) -> np.ndarray:
    return np.concatenate([np.empty(0, kind), *parts])
