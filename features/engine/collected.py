"""The outcome of a pass over the corpus: figures of the SAE at once, those of its features one after another."""

import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor

from . import tables
from .choosing import Chosen, choose
from .correlations import Correlations
from .effects import Activations, Effects, effects_of
from .entries import Entries
from .examples import Grid
from .logits import Directions
from .results import FeatureStatistics, Progress, ShownRows, Summary
from .subject import Subject
from .threads import side_by_side

FEATURES_AT_ONCE = 512  # whose tables are computed together, at most
BLOCK_BYTES = 32 << 20  # of one of their matrices, as wide as the dictionary
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
        head, device = self.subject.model.head, self.subject.device
        directions = Directions.into_store(head, self.subject.output_directions(wanted))
        size = max(1, min(FEATURES_AT_ONCE, BLOCK_BYTES // (8 * self.entries.d_sae)))
        work = (partial(self._block, part, wanted[part], directions) for part in _slices(len(wanted), size))
        chosen, known = [], []
        with side_by_side(device) as run:
            for some, their_tables, effects in run(work):
                directions.effects.append(effects)
                chosen += some
                known += their_tables
                self.report("examples", len(chosen), len(wanted))
        effects = self._effects(chosen, wanted, directions)
        at = 0
        for one, its_tables in zip(chosen, known, strict=True):
            yield self._statistics(one, its_tables, effects, at)
            at += len(one.values)

    @torch.no_grad()
    def _block(self, part: slice, features: np.ndarray, directions: Directions):
        """What is chosen for some features, what the weights say of them, and their logit effects."""
        chosen = [choose(entries, self.grid, self.seed) for entries in self.entries.features(features)]
        effects = self.subject.model.head.unscaled(directions.centred[part])
        return chosen, self._tables(features, effects), effects

    def _effects(self, chosen: list[Chosen], features: np.ndarray, directions: Directions) -> Effects:
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

    def _tables(self, features: np.ndarray, effects: Tensor) -> list[tuple]:
        """(logit table, alignment, correlated neurons, features and those of B, neighbours) of each."""
        return list(
            zip(
                tables.logit_tables(effects),
                tables.alignments(self.subject, features),
                self.correlations.neurons(features),
                self.correlations.features(features),
                self.correlations.second_features(features),
                self.correlations.decoder.neighbours(features),
                strict=True,
            )
        )

    def _statistics(self, one: Chosen, known, effects: Effects, at: int) -> FeatureStatistics:
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


def _slices(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def _joined(parts, kind) -> np.ndarray:
    return np.concatenate([np.empty(0, kind), *parts])
