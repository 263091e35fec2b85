"""Figures that no model computed: small, seeded, shaped like real ones. For tests of rows, pages and jobs."""

import hashlib
from dataclasses import dataclass
from functools import cache

import numpy as np

from features.engine.activity.quantiles import values_at_ranks
from features.engine.results import (
    Activity,
    Alignment,
    Correlates,
    ExampleGroup,
    Examples,
    FeatureStatistics,
    Histogram,
    Interval,
    LogitTable,
    Neighbours,
    Progress,
    Relatives,
    ShownRows,
    Summary,
    TokenValues,
)

ROWS, LENGTH, VOCABULARY = 64, 16, 100  # of the made-up corpus


def sha256_of(text):
    """In place of a corpus's checksum, another for another text; no longer than one, which PostgreSQL insists on, and
    no checksum by its looks, which would be held against the file."""
    return f"made-{hashlib.sha256(text.encode()).hexdigest()[:50]}"


def summary(tokens=960, **changes):
    figures = {
        "tokens": tokens,
        "rows": ROWS,
        "l0": 2.5,
        "explained_variance": 0.8,
        "loss_clean": 4.0,
        "loss_reconstructed": 4.1,
        "loss_zero_ablated": 5.0,
        "loss_tokens": 900,
        "dead": 1,
        "dense": 0,
        "seed": 0,
        "versions": {"torch": "made up"},
    }
    return Summary(**figures | changes)


@cache  # hundreds of tests ask for the same ones
def feature(index=0, tokens=960, rows=ROWS, length=LENGTH, per_row=3.0, chosen=12, seed=0):
    """A feature with `chosen` top examples, half as many random ones and 10 intervals of 5."""
    rng = np.random.default_rng([seed, index])
    shown = _shown(rng, rows, length, per_row, row_count=min(rows, chosen * 5))
    maximum = float(shown.activations.max())
    return FeatureStatistics(
        index=index,
        tokens=tokens,
        activity=Activity(
            count=len(shown.positions),
            maximum=maximum,
            mean=float(shown.activations.mean()),
            histogram=_histogram(rng, 0, maximum),
            quantiles=values_at_ranks(np.sort(shown.activations)[::-1]),
        ),
        examples=Examples(
            top=_examples(rng, shown, chosen, highest=True),
            random=_examples(rng, shown, chosen // 2),
            intervals=_intervals(rng, shown, maximum),
        ),
        shown=shown,
        **_weights_of(rng),
    )


def dead_feature(index=0, tokens=960):
    nothing = ExampleGroup(*(np.zeros(0, dtype) for dtype in ("i8", "i4", "f4", "i4")))
    entries = [np.zeros(0, dtype) for dtype in ("i2", "f4", "f4", "f4", "f4")]
    return FeatureStatistics(
        index=index,
        tokens=tokens,
        activity=Activity(count=0, maximum=0.0, mean=0.0, quantiles=np.zeros(0, "f4"), histogram=None),
        examples=Examples(top=nothing, random=nothing, intervals=()),
        shown=ShownRows(np.zeros(0, "i8"), np.zeros(1, "i8"), *entries),
        **_weights_of(np.random.default_rng(index)),
    )


@dataclass
class Collected:
    """What the engine gives back; `break_at` raises in the middle, as a real run may."""

    size: int = 8
    seed: int = 0
    break_at: int | None = None
    error: Exception = RuntimeError("made to break")
    progress: object = None

    @property
    def summary(self):
        return summary(seed=self.seed)

    def features(self, indices=None):
        indices = range(self.size) if indices is None else indices
        for done, index in enumerate(indices):
            if index == self.break_at:
                raise self.error
            if self.progress:
                self.progress(Progress("examples", done, len(indices)))
            yield dead_feature(index) if index == 3 else feature(index, seed=self.seed)


@dataclass
class Loaded:
    """What `LoadedJob` is to the parts of a job: `cut` shards that leave an empty folder each."""

    job: object
    figures: Collected
    cut: int = 1

    def shard_tokens(self):
        return [self.job.tokens // self.cut] * self.cut

    def quick(self, tokens, place, progress):
        assert place.is_dir()
        return self.figures

    def quick_summary(self, figures):
        return figures.summary

    def shard(self, number, place, progress):
        (place / f"shard-{number:04d}").mkdir()

    def merge(self, place, progress):
        (place / "merged").mkdir()

    def choose(self, features, place, progress):
        place.mkdir()

    def effects(self, folders, shard, place, progress):
        assert all(folder.is_dir() for folder in folders)
        place.mkdir()

    def features(self, features, folders, block, progress):
        assert [folder.is_dir() for folder in folders] == [True] * self.cut
        self.figures.progress = progress
        return self.figures.summary, self.figures.features(features)


def corpus_rows(rows=ROWS, length=LENGTH):
    ids = np.random.default_rng(0).integers(3, VOCABULARY, (rows, length), dtype=np.uint16)
    ids[:, 0] = 0
    return ids


def _floats(rng, *size):
    return rng.normal(size=size).astype(np.float32)


def _shown(rng, rows, length, per_row, row_count):
    chosen = np.sort(rng.choice(rows, row_count, replace=False)).astype("i8")
    sizes = np.clip(rng.poisson(per_row, row_count), 1, length - 1)
    places = [np.sort(rng.choice(np.arange(1, length), size, replace=False)) for size in sizes]
    entries = int(sizes.sum())
    effects = _floats(rng, entries) / 50
    effects[::9] = np.nan  # a row's end
    return ShownRows(
        rows=chosen,
        starts=np.concatenate([[0], sizes.cumsum()]).astype("i8"),
        positions=np.concatenate(places).astype("i2"),
        activations=np.abs(_floats(rng, entries)) + np.float32(0.01),
        losses=np.abs(_floats(rng, entries)) * 4,
        loss_effects=effects,
        logit_effects=_floats(rng, entries),
    )


def _examples(rng, shown, n, highest=False, among=None):
    entries = np.arange(len(shown.positions)) if among is None else among
    n = min(n, len(entries))
    if highest:
        picked = entries[np.argsort(-shown.activations[entries])[:n]]
    else:
        picked = rng.choice(entries, n, replace=False) if n else entries[:0]
    rows = shown.rows[np.searchsorted(shown.starts, picked, side="right") - 1]
    ones = np.ones(n, "i4")
    return ExampleGroup(rows, shown.positions[picked].astype("i4"), shown.activations[picked], ones)


def _intervals(rng, shown, maximum, n=10):
    edges = [maximum * i / n for i in range(n + 1)]
    made = []
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        among = np.flatnonzero((shown.activations > low) & (shown.activations <= high))
        made.append(Interval(low, high, len(among), _examples(rng, shown, 5, among=among)))
    return tuple(reversed(made))


def _histogram(rng, low, high, bins=60):
    edges = np.linspace(low, high, bins + 1, dtype=np.float32)
    return Histogram(edges, rng.poisson(40 * np.exp(-np.arange(bins) / 8)).astype("i8"))


def _correlates(rng, n, decoder):
    indices = rng.integers(0, 4096, n, dtype="i4")
    empty = np.zeros(0, "f4")
    return Correlates(indices, _floats(rng, n), _floats(rng, n), _floats(rng, n) if decoder else empty)


def _token_values(rng, sign, n=10):
    values = sign * np.sort(np.abs(_floats(rng, n)))[::-1]
    return TokenValues(rng.integers(3, VOCABULARY, n, dtype="i4"), values)


def _weights_of(rng):
    histogram, positive, negative = _histogram(rng, -1.5, 1.5), _token_values(rng, 1), _token_values(rng, -1)
    return {
        "logits": LogitTable(positive, negative, histogram),
        "relatives": Relatives(
            alignment=Alignment(rng.integers(0, 1024, 10, dtype="i4"), _floats(rng, 10), np.abs(_floats(rng, 10))),
            correlated_neurons=_correlates(rng, 10, decoder=False),
            correlated_features=_correlates(rng, 10, decoder=True),
            neighbours=Neighbours(rng.integers(0, 4096, 10, dtype="i4"), _floats(rng, 10)),
            correlated_b=_correlates(rng, 10, decoder=True),
        ),
    }
