"""What features' entries alone say of them: their figures, their examples, and which tokens are shown around them.

Some hundred features at a time: what is asked of one is small, and asked of each alone it would cost mostly the asking.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..results import Activity, ExampleGroup, Examples, Histogram, Interval
from ..store.active_entries import FeatureEntries
from .activations import INTERVALS, Ordered
from .sampling import draw, keys_of
from .top_examples import TOP, TokenLayout, near, tops

RANDOM = 20
PER_INTERVAL = 5


@dataclass(frozen=True)
class Chosen:
    """Everything of a feature but the effects and what the weights say."""

    index: int
    activity: Activity
    examples: Examples
    rows: np.ndarray  # [r] shown rows, ascending
    starts: np.ndarray  # [r + 1]
    positions: np.ndarray  # [e] int16
    values: np.ndarray  # [e]
    near: np.ndarray  # [e] bool, close enough to an example for its effects to be computed


def choose(block: list[FeatureEntries], grid: TokenLayout, seed: int) -> list[Chosen]:
    """The same choice for a feature whatever else is computed beside it."""
    if not block:
        return []
    ordered = Ordered.of(block)
    picked = _Picked.of(ordered, grid, seed)
    shown = _Shown.of(block, picked, grid)
    histograms, groups = ordered.histograms(), picked.groups(grid)
    return [_chosen(n, ordered, histograms[n], next(groups), shown.of_feature(n, grid)) for n in range(len(block))]


def _chosen(n: int, ordered: Ordered, histogram: Histogram | None, groups: list[ExampleGroup], shown: dict) -> Chosen:
    top, random, *of_intervals = groups
    bounds = ordered.intervals(n)  # none when dead
    intervals = tuple(Interval(*one, group) for one, group in zip(bounds, of_intervals, strict=False))
    activity = Activity(
        count=int(ordered.counts[n]),
        maximum=float(ordered.maxima[n]),
        mean=ordered.mean(n),
        quantiles=ordered.ladder(n),
        histogram=histogram,
    )
    return Chosen(ordered.indices[n], activity, Examples(top, random, intervals), **shown)


@dataclass(frozen=True)
class _Picked:
    """The examples of n features, feature by feature: top ones, random ones, those of each interval."""

    feature: np.ndarray  # [p] number in the block
    tokens: np.ndarray  # [p] int64
    values: np.ndarray  # [p]
    copies: np.ndarray  # [p] int32
    sizes: np.ndarray  # [n, 2 + INTERVALS] of each group

    @classmethod
    def of(cls, ordered: Ordered, grid: TokenLayout, seed: int) -> "_Picked":
        top, copies = tops(ordered, grid)
        keys = keys_of(seed, ordered.indices)
        at_random, some = draw(keys_of(keys), ordered.counts, RANDOM)
        begins, sizes = ordered.above[:, :-1], np.diff(ordered.above, axis=1)
        inside, few = draw(keys_of(keys[:, None], np.arange(INTERVALS)), sizes, PER_INTERVAL)
        inside += begins[:, :, None]
        count = len(top)
        places = np.concatenate([top, at_random, inside.reshape(count, -1)], 1)
        filled = np.concatenate([copies > 0, some, few.reshape(count, -1)], 1)
        times = np.ones(places.shape, np.int32)
        times[:, :TOP] = copies
        at = (ordered.starts[:-1, None] + places)[filled]
        every = np.concatenate([(copies > 0).sum(1)[:, None], some.sum(1)[:, None], few.sum(2)], 1)
        feature = np.repeat(np.arange(count), filled.sum(1))
        return cls(feature, ordered.tokens[at].astype(np.int64), ordered.values[at], times[filled], every)

    def groups(self, grid: TokenLayout) -> Iterator[list[ExampleGroup]]:
        """Of each feature: top, random, those of each interval."""
        rows, positions = grid.places(self.tokens)
        columns = rows, positions.astype(np.int32), self.values, self.copies
        ends = np.cumsum(self.sizes).reshape(self.sizes.shape)
        for begin, end in zip((ends - self.sizes).tolist(), ends.tolist(), strict=True):
            parts = map(slice, begin, end)
            yield [ExampleGroup(*(column[part] for column in columns)) for part in parts]


@dataclass(frozen=True)
class _Shown:
    """The rows that examples of n features stand in, and the features' entries there."""

    rows: np.ndarray  # [r] feature by feature, ascending
    bounds: list[int]  # [n + 1] where each feature's rows begin
    starts: np.ndarray  # [r + 1] where each row's entries begin
    tokens: np.ndarray  # [e] int64
    values: np.ndarray  # [e]
    near: np.ndarray  # [e] bool

    @classmethod
    def of(cls, block: list[FeatureEntries], picked: _Picked, grid: TokenLayout) -> "_Shown":
        room = len(grid.rows) * grid.width  # tokens of one feature; numbered on from feature to feature
        chosen = picked.feature * room + picked.tokens
        numbers = np.unique(chosen // grid.width)
        feature, rows = np.divmod(numbers, len(grid.rows))
        bounds = np.searchsorted(feature, np.arange(len(block) + 1)).tolist()
        parts = [
            _within(entries, rows[begin:end], grid.width)
            for entries, begin, end in zip(block, bounds, bounds[1:], strict=False)
        ]
        sizes, tokens, values = (np.concatenate(kind) for kind in zip(*parts, strict=True))
        starts = np.concatenate([[0], np.cumsum(sizes)])
        close = near(np.repeat(feature, sizes) * room + tokens, chosen, grid)
        return cls(rows, bounds, starts, tokens, values, close)

    def of_feature(self, n: int, grid: TokenLayout) -> dict:
        rows = slice(self.bounds[n], self.bounds[n + 1])
        starts = self.starts[rows.start : rows.stop + 1]
        entries = slice(int(starts[0]), int(starts[-1]))
        return {
            "rows": self.rows[rows],
            "starts": starts - starts[0],
            "positions": (self.tokens[entries] % grid.width + grid.first).astype(np.int16),
            "values": self.values[entries],
            "near": self.near[entries],
        }


def _within(entries: FeatureEntries, rows: np.ndarray, width: int):
    """The feature's entries in some rows, as (how many in each, tokens, values)."""
    first, last = (rows * width).astype(np.uint32), (rows * width + width - 1).astype(np.uint32)
    begins = np.searchsorted(entries.tokens, first)
    sizes = np.searchsorted(entries.tokens, last, side="right") - begins
    ends = np.cumsum(sizes)
    at = np.repeat(begins - ends + sizes, sizes) + np.arange(ends[-1] if len(ends) else 0)
    return sizes, entries.tokens[at].astype(np.int64), entries.values[at]
