"""The outcome of a pass over the corpus: figures of the SAE at once, those of its features one after another."""

import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from threading import Lock

import numpy as np
import torch

from ..activity.correlations import Correlations
from ..activity.examples import Chosen, choose
from ..activity.top_examples import Grid
from ..kernels.parallel import Scratch, side_by_side
from ..results import FeatureStatistics, Progress, ShownRows, Summary
from ..store.active_entries import Entries
from ..subject import Subject
from ..weights import logit_tables
from ..weights.loss_effects import effects_at
from .shown_entries import shown_entries

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
        self._logits = Scratch()
        self._choosing = Lock()  # one thread at a time: two would mostly wait for the interpreter

    @property
    def tokens(self) -> int:
        return self.summary.tokens

    def __len__(self) -> int:
        return len(self.indices)

    def tell(self, progress: Callable[[Progress], None]) -> None:
        """Who hears of progress from now on."""
        self.report = Report(progress)

    def features(
        self, indices: Iterable[int] | None = None, effects: np.ndarray | None = None
    ) -> Iterator[FeatureStatistics]:
        """Every asked-for feature in index order: of `indices`, else of those that were asked for in the beginning.

        `effects` [n, 3] on what they show, where those are known; else they are computed here.
        """
        wanted = np.array(self.indices if indices is None else sorted(set(indices)), np.int64)
        chosen, known = [], []
        for some, their_tables in self._side_by_side(self._chosen_and_tables, wanted):
            chosen += some
            known += their_tables
            self.report("examples", len(chosen), len(wanted))
        entries, places = shown_entries(chosen)
        found = np.full((sum(len(one.values) for one in chosen), 3), np.nan, np.float32)
        found[places] = self.effects(entries) if effects is None else effects
        at = 0
        for one, its_tables in zip(chosen, known, strict=True):
            yield _statistics(self.tokens, one, its_tables, found[at : at + len(one.values)])
            at += len(one.values)

    def choose(self, features: Iterable[int]) -> list[Chosen]:
        """What each of these features shows, ascending."""
        found = []
        for part in self._side_by_side(self._choose, np.array(sorted(features), np.int64)):
            found += part
            self.report("examples", len(found), len(features))
        return found

    def _side_by_side(self, piece: Callable, features: np.ndarray) -> Iterator[list]:
        """piece(some features) for all of them, in order."""
        size = max(1, min(FEATURES_AT_ONCE, BLOCK_BYTES // (8 * self.entries.d_sae)))
        with side_by_side(self.subject.device, mostly_here=True) as run:
            yield from run(partial(piece, features[part]) for part in _slices(len(features), size))

    def _chosen_and_tables(self, features: np.ndarray) -> tuple[list[Chosen], list[tuple]]:
        """Choosing is Python, tables are products: side by side, neither waits for the other."""
        return self._choose(features), self._tables(features)

    def _choose(self, features: np.ndarray) -> list[Chosen]:
        found = []
        for block in self.entries.blocks(features):
            with self._choosing:
                found += choose(block, self.grid, self.seed)
        return found

    def effects(self, shown: np.ndarray) -> np.ndarray:
        """Of shown entries [n], row by row. [n, 3] float32"""
        return effects_at(self.subject, self.grid.rows, shown, partial(self.report, "loss effects"))

    def effects_of_blocks(self, blocks: list[np.ndarray]) -> list[np.ndarray]:
        """The same for several lots of entries, each row by row."""
        shown = np.concatenate(blocks)
        order = np.argsort(shown["row"], kind="stable")
        found = np.empty((len(shown), 3), np.float32)
        found[order] = self.effects(shown[order])
        return np.split(found, np.cumsum([len(part) for part in blocks])[:-1])

    @torch.no_grad()
    def _tables(self, features: np.ndarray) -> list[tuple]:
        """(logit table, alignment, correlated neurons, features and those of B, neighbours) of each."""
        head = self.subject.model.head
        return list(
            zip(
                logit_tables.logit_tables(
                    head.unscaled(head.centre(self.subject.output_directions(features)), self._logits)
                ),
                logit_tables.alignments(self.subject, features),
                self.correlations.neurons(features),
                self.correlations.features(features),
                self.correlations.second_features(features),
                self.correlations.decoder.neighbours(features),
                strict=True,
            )
        )


def _statistics(tokens: int, one: Chosen, known: tuple, effects: np.ndarray) -> FeatureStatistics:
    logits, alignment, neurons, features, features_b, neighbours = known
    return FeatureStatistics(
        index=one.index,
        tokens=tokens,
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
        shown=ShownRows(one.rows, one.starts, one.positions, one.values, *np.ascontiguousarray(effects.T)),
    )


def _slices(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
