"""The outcome of a pass over the corpus: figures of the SAE at once, those of its features one after another."""

import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from threading import Lock

import numpy as np
import torch

from ..activity.correlations import Correlations
from ..activity.examples import ChosenExamples, choose_examples
from ..activity.top_examples import TokenLayout
from ..kernels.parallel import Scratch, parallel_map
from ..results import FeatureStatistics, LogitTable, Progress, Relatives, Summary
from ..store.active_entries import ActiveEntries
from ..subject import Subject
from ..weights import logit_tables
from ..weights.loss_effects import effects_at
from .shown_entries import shown_entries

FEATURES_AT_ONCE = 512  # whose tables are computed together, at most
BLOCK_BYTES = 32 << 20  # of one of their matrices, as wide as the dictionary
REPORT_EVERY = 0.5  # seconds


class ThrottledProgress:
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
        layout: TokenLayout,
        entries: ActiveEntries,
        correlations: Correlations,
        summary: Summary,
        seed: int = 0,
        features: Iterable[int] | None = None,
        report: ThrottledProgress | None = None,
    ):
        self.subject, self.layout, self.entries, self.correlations = subject, layout, entries, correlations
        self.summary, self.seed, self.report = summary, seed, report or ThrottledProgress(None)
        self.indices = sorted(set(range(entries.d_sae) if features is None else features))
        self._logits = Scratch()
        self._choosing = Lock()  # one thread at a time: two would mostly wait for the interpreter

    @property
    def tokens(self) -> int:
        return self.summary.tokens

    def __len__(self) -> int:
        return len(self.indices)

    def report_to(self, progress: Callable[[Progress], None]) -> None:
        """Who hears of progress from now on."""
        self.report = ThrottledProgress(progress)

    def features(
        self, indices: Iterable[int] | None = None, effects: np.ndarray | None = None
    ) -> Iterator[FeatureStatistics]:
        """Every asked-for feature in index order: of `indices`, else of those that were asked for in the beginning.

        `effects` [n, 3] on what they show, where those are known; else they are computed here.
        """
        wanted = np.array(self.indices if indices is None else sorted(set(indices)), np.int64)
        chosen, tables = [], []
        for block_chosen, block_tables in self._map_blocks(self._chosen_and_tables, wanted):
            chosen += block_chosen
            tables += block_tables
            self.report("examples", len(chosen), len(wanted))
        entries, places = shown_entries(chosen)
        ends = np.cumsum([len(feature.values) for feature in chosen])  # [features] of each one's values among all
        # Effects come row by row for all features: each goes to its value, feature by feature. NaN far from an example.
        all_effects = np.full((ends[-1] if len(ends) else 0, 3), np.nan, np.float32)
        all_effects[places] = self.effects(entries) if effects is None else effects
        for feature, (logits, relatives), end in zip(chosen, tables, ends, strict=True):
            its_effects = all_effects[end - len(feature.values) : end]
            yield _statistics(self.tokens, feature, logits, relatives, its_effects)

    def choose(self, features: Iterable[int]) -> list[ChosenExamples]:
        """What each of these features shows, ascending."""
        chosen = []
        for block in self._map_blocks(self._choose, np.array(sorted(features), np.int64)):
            chosen += block
            self.report("examples", len(chosen), len(features))
        return chosen

    def _map_blocks(self, function: Callable, features: np.ndarray) -> Iterator[list]:
        """function(block of features) for blocks of all of them, in order."""
        # 8 bytes: products are float64, d_sae of them for each feature.
        size = max(1, min(FEATURES_AT_ONCE, BLOCK_BYTES // (8 * self.entries.d_sae)))
        with parallel_map(self.subject.device, host_bound=True) as run:
            yield from run(partial(function, features[block]) for block in _slices(len(features), size))

    def _chosen_and_tables(
        self, features: np.ndarray
    ) -> tuple[list[ChosenExamples], list[tuple[LogitTable, Relatives]]]:
        # Choosing is Python, which one thread at a time runs; tables are products, which leave Python to the others.
        return self._choose(features), self._tables(features)

    def _choose(self, features: np.ndarray) -> list[ChosenExamples]:
        chosen = []
        for block in self.entries.blocks(features):
            with self._choosing:
                chosen += choose_examples(block, self.layout, self.seed)
        return chosen

    def effects(self, shown: np.ndarray) -> np.ndarray:
        """Of shown entries [n], row by row. [n, 3] float32"""
        return effects_at(self.subject, self.layout.rows, shown, partial(self.report, "loss effects"))

    def effects_of_blocks(self, blocks: list[np.ndarray]) -> list[np.ndarray]:
        """The same for several blocks of entries, each row by row."""
        shown = np.concatenate(blocks)
        # All blocks' entries row by row, so that a row is read once for all of them; then back into their order.
        order = np.argsort(shown["row"], kind="stable")
        effects = np.empty((len(shown), 3), np.float32)
        effects[order] = self.effects(shown[order])
        return np.split(effects, np.cumsum([len(block) for block in blocks])[:-1])

    @torch.no_grad()
    def _tables(self, features: np.ndarray) -> list[tuple[LogitTable, Relatives]]:
        """What each feature's weights, and its sums with others, come to."""
        correlations, logits = self.correlations, logit_tables.tables_of(self.subject, features, self._logits)
        relatives = zip(
            logit_tables.alignments(self.subject, features),
            correlations.neurons(features),
            correlations.features(features),
            correlations.decoder.neighbours(features),
            correlations.features_b(features),
            strict=True,
        )
        return list(zip(logits, map(_relatives, relatives), strict=True))


def _relatives(tables: tuple) -> Relatives:
    alignment, neurons, features, neighbours, features_of_b = tables
    return Relatives(
        alignment=alignment,
        correlated_neurons=neurons,
        correlated_features=features,
        neighbours=neighbours,
        correlated_b=features_of_b,
    )


def _statistics(
    tokens: int, chosen: ChosenExamples, logits: LogitTable, relatives: Relatives, effects: np.ndarray
) -> FeatureStatistics:
    """`effects` [n, 3]: loss, loss effect and logit effect at each shown value."""
    return FeatureStatistics(
        index=chosen.index,
        tokens=tokens,
        activity=chosen.activity,
        examples=chosen.examples,
        relatives=relatives,
        logits=logits,
        shown=chosen.with_effects(effects),
    )


def _slices(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
