"""One pass over the corpus for all features at once: rows of tokens in, figures of every feature out."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from . import summary, tables
from .correlations import Batch, Correlations, ProductSums
from .effects import Activations, Effects, effects_of
from .entries import ActiveEntries, FeatureEntries
from .examples import Grid, interval_examples, near_examples, random_examples, random_generator, top_examples
from .results import Examples, FeatureStatistics, Histogram, Interval, Progress, ShownRows, Summary
from .sae import SparseAutoencoder
from .statistics import SortedEntries
from .subject import Subject
from .threads import side_by_side

BATCH_BYTES = 128 << 20  # of dense feature activations held at a time
FORWARD_TOKENS = 2048  # through the model at a time: its activations stay in the cache
FEATURES_AT_ONCE = 256  # whose tables are computed together
REPORT_EVERY = 0.5  # seconds

Entries = tuple[Tensor, Tensor, Tensor]  # features, tokens, values


class NotEnoughTokens(ValueError):
    """More tokens were asked for than the corpus has."""


def collect(
    subject: Subject,
    rows: np.ndarray,
    *,
    tokens: int,
    bos: bool = True,
    seed: int = 0,
    features: list[int] | None = None,
    progress: Callable[[Progress], None] | None = None,
    batch_rows: int | None = None,
) -> "Collected":
    """Statistics of all features (or of `features`) on the first rows that hold `tokens` counted tokens.

    rows [n, length] token ids, each starting with BOS if `bos`. Special tokens are not counted. `progress` is
    called about twice a second and may raise to stop. Raises NotEnoughTokens.
    """
    counted = counted_tokens(rows, subject.vocabulary.special)
    used = rows[: rows_needed(counted, tokens)]
    report = _Report(progress)
    entries = ActiveEntries(subject.d_sae)
    sums = ProductSums(subject.d_sae, subject.sae.config.d_in, subject.device)
    grid = Grid(used, int(bos))
    total = int(counted[: len(used)].sum())
    step = batch_rows or max(1, BATCH_BYTES // (4 * subject.d_sae * rows.shape[1]))
    scratch = _Scratch()
    work = (
        partial(_batch, subject, grid, start, used[start : start + step], scratch)
        for start in range(0, len(used), step)
    )
    with side_by_side(subject.device) as run:
        for start, batch, places in run(work):
            report("activations", sums.tokens, total)
            sums.update(batch)
            found = (_numpy(part) for part in (batch.counts, places[batch.tokens], batch.values))
            entries.append(start * grid.width, *found)
    report("activations", total, total, always=True)
    return Collected(subject, grid, entries, sums, seed, features, report)


def counted_tokens(rows: np.ndarray, special: set[int]) -> np.ndarray:
    """Tokens of each row that are counted: all but special ones. [n] int64"""
    return (~np.isin(rows, sorted(special))).sum(1) if special else np.full(len(rows), rows.shape[1])


def rows_needed(counted: np.ndarray, tokens: int) -> int:
    """How many first rows hold `tokens` counted tokens. Raises NotEnoughTokens."""
    reached = np.cumsum(counted)
    if not len(reached) or tokens > reached[-1]:
        has = int(reached[-1]) if len(reached) else 0
        raise NotEnoughTokens(f"Asked for {tokens:,} tokens; the corpus has {has:,}. Ask for fewer.")
    return int(np.searchsorted(reached, max(tokens, 1))) + 1


class _Scratch(threading.local):
    """Memory for the products of a batch, one a thread: asking for it anew each time costs more than filling it."""

    memory: Tensor | None = None

    def of(self, size: int, like: Tensor) -> Tensor:
        if self.memory is None or self.memory.numel() < size:
            self.memory = torch.empty(size, device=like.device)
        return self.memory[:size]


@torch.no_grad()
def _batch(subject: Subject, grid: Grid, first: int, rows: np.ndarray, scratch: _Scratch) -> tuple[int, Batch, Tensor]:
    """The first row, active entries of the rows' counted tokens, and each of those tokens' place among the rows'."""
    ids = subject.tokens(rows.astype(np.int64))
    few = max(1, FORWARD_TOKENS // ids.shape[1])
    hook = torch.cat([subject.activations(part)[:, grid.first :].flatten(0, 1) for part in ids.split(few)])
    special = torch.tensor(sorted(subject.vocabulary.special), device=ids.device, dtype=torch.long)
    places = (~torch.isin(ids[:, grid.first :].flatten(), special)).nonzero().squeeze(1)
    if len(places) < len(hook):
        hook = hook[places]
    found = active_entries(subject.sae, hook, scratch.of(subject.d_sae * len(hook), hook))
    return first, Batch(*found, hook, subject.d_sae), places


def active_entries(sae: SparseAutoencoder, hook: Tensor, scratch: Tensor | None = None) -> Entries:
    """(features, tokens, values) of every activation that is not 0, feature by feature.

    hook [tokens, d_in]. The product is taken with features as rows, so that no entry has to be sorted; bias,
    ReLU and threshold are applied to what survives a comparison, not to the whole matrix. `scratch`, float32 of
    d_sae x tokens, saves the memory of that matrix being asked for anew.
    """
    if not sae.is_plain:
        dense = sae.encode(hook).t().contiguous()
        found = (dense != 0).view(-1).nonzero().squeeze(1)
        return found // len(hook), found % len(hook), dense.view(-1)[found]
    shape = (sae.config.d_sae, len(hook))
    out = None if scratch is None else scratch.view(shape)
    products = torch.mm(sae.W_enc.t(), hook.t(), out=out)
    found = (products > _least(sae)[:, None]).view(-1).nonzero().squeeze(1)
    features = found // len(hook)
    values = products.view(-1)[found] + sae.b_enc[features]
    if sae.threshold is not None:
        keep = (values > sae.threshold[features]) & (values > 0)
        found, features, values = found[keep], features[keep], values[keep]
    return features, found % len(hook), values


def _least(sae: SparseAutoencoder) -> Tensor:
    """A product at or below it cannot become active. Without a threshold, and only if it is above -b_enc is
    the rounded sum positive; with one, a margin for the sum's rounding is left. [d_sae]"""
    if sae.threshold is None:
        return -sae.b_enc
    return sae.threshold.clamp_min(0) - sae.b_enc - 1e-5 * (sae.threshold.abs() + sae.b_enc.abs())


def _joined(parts, kind) -> np.ndarray:
    return np.concatenate([np.empty(0, kind), *parts])


def _numpy(values: Tensor) -> np.ndarray:
    return values.cpu().numpy()


class _Report:
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

    def __init__(self, subject, grid, entries, sums, seed, features, report):
        self.subject, self.grid, self.entries, self.sums = subject, grid, entries, sums
        self.seed, self.report = seed, report
        self.indices = list(range(subject.d_sae)) if features is None else sorted(set(features))
        self.tokens = sums.tokens
        self.summary = self._summary()

    def __len__(self) -> int:
        return len(self.indices)

    def features(self) -> Iterator[FeatureStatistics]:
        """Every asked-for feature in index order. The entries on disk are gone when the last one is taken."""
        with self.entries:
            chosen = [self._choose(entries) for entries in self._reported(self.entries.features(self.indices))]
            effects = self._effects(chosen)
        correlations = Correlations(self.sums, self.subject.sae.W_dec)
        at = 0
        for start in range(0, len(chosen), FEATURES_AT_ONCE):
            part = chosen[start : start + FEATURES_AT_ONCE]
            for one, known in zip(part, self._tables(part, correlations), strict=True):
                yield self._statistics(one, known, effects, at)
                at += len(one.values)

    def _summary(self) -> Summary:
        counts, sae = self.entries.counts, self.subject.sae
        clean, reconstructed, zero, loss_tokens = summary.losses(
            self.subject, self.grid.rows, self.subject.vocabulary.special
        )
        plain = sae.config.input_norm == "none"
        return Summary(
            tokens=self.tokens,
            rows=len(self.grid.rows),
            l0=float(counts.sum() / max(self.tokens, 1)),
            explained_variance=summary.explained_variance(self.sums, sae.W_dec, sae.b_dec) if plain else float("nan"),
            loss_clean=clean,
            loss_reconstructed=reconstructed,
            loss_zero_ablated=zero,
            loss_tokens=loss_tokens,
            dead=int((counts == 0).sum()),
            dense=int((counts > summary.DENSE_ABOVE * self.tokens).sum()),
            seed=self.seed,
            versions={"torch": torch.__version__, "numpy": np.__version__},
        )

    def _reported(self, entries: Iterator[FeatureEntries]) -> Iterator[FeatureEntries]:
        for done, feature in enumerate(entries):
            self.report("examples", done, len(self.indices))
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

    def _effects(self, chosen: list[_Chosen]) -> Effects:
        """Of all entries of all features behind each other; NaN for those far from every example."""
        activations = Activations(
            np.repeat([one.index for one in chosen], [len(one.values) for one in chosen]).astype(np.int64),
            _joined((np.repeat(one.rows, np.diff(one.starts)) for one in chosen), np.int64),
            _joined((one.positions for one in chosen), np.int64),
            _joined((one.values for one in chosen), np.float32),
        )
        near = _joined((one.near for one in chosen), bool)
        return effects_of(self.subject, self.grid.rows, activations, near, lambda *at: self.report("loss effects", *at))

    def _tables(self, part: list[_Chosen], correlations: Correlations):
        """(logit table, alignment, correlated neurons and features, neighbours) of each."""
        features = np.array([one.index for one in part])
        on_device = torch.from_numpy(features).to(self.subject.device)
        return zip(
            tables.logit_tables(self.subject, features),
            tables.alignments(self.subject, features),
            correlations.neurons(on_device),
            correlations.features(on_device),
            tables.neighbours(correlations, on_device),
            strict=True,
        )

    def _statistics(self, one: _Chosen, known, effects: Effects, at: int) -> FeatureStatistics:
        logits, alignment, neurons, features, neighbours = known
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
            neighbours=neighbours,
            top=one.top,
            random=one.random,
            intervals=one.intervals,
            shown=ShownRows(
                one.rows, one.starts, one.positions.astype(np.int16), one.values,
                effects.losses[part], effects.loss_effects[part], effects.logit_effects[part],
            ),
        )  # fmt: skip
