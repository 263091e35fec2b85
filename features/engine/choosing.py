"""What one feature's entries alone say of it: its figures, its examples, and which tokens are shown around them."""

from dataclasses import dataclass

import numpy as np

from .entries import FeatureEntries
from .examples import Grid, near, random_generator, random_places, top_places
from .results import Examples, Histogram, Interval
from .statistics import SortedEntries

RANDOM = 20
PER_INTERVAL = 5


@dataclass(frozen=True)
class Chosen:
    """Everything of a feature but the effects and what the weights say."""

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


def choose(entries: FeatureEntries, grid: Grid, seed: int) -> Chosen:
    """The same choice for a feature whatever else is computed beside it."""
    ordered, rng = SortedEntries.of(entries), random_generator(seed, entries.index)
    top, copies = top_places(ordered.tokens, grid)
    intervals = ordered.intervals()
    places = [top, random_places(rng, 0, len(ordered.tokens), RANDOM)]
    places += [random_places(rng, part.start, part.stop, PER_INTERVAL) for _, _, part in intervals]
    every = np.concatenate(places)
    tokens = ordered.tokens[every].astype(np.int64)
    times = np.ones(len(every), np.int32)
    times[: len(copies)] = copies
    first, second, *others = _examples(grid, tokens, ordered.values[every], times, [len(part) for part in places])
    rows = np.unique(tokens // grid.width)
    starts, shown, values = _active_in(entries, rows, grid.width)
    return Chosen(
        index=entries.index,
        count=len(entries.tokens),
        maximum=ordered.maximum,
        mean=ordered.mean,
        histogram=ordered.histogram(),
        quantiles=ordered.ladder(),
        top=first,
        random=second,
        intervals=tuple(
            Interval(low, high, part.stop - part.start, examples)
            for (low, high, part), examples in zip(intervals, others, strict=True)
        ),
        rows=rows,
        starts=starts,
        positions=shown % grid.width + grid.first,
        values=values,
        near=near(shown, tokens, grid),
    )


def _examples(grid: Grid, tokens, values, copies, sizes: list[int]) -> list[Examples]:
    """Chosen entries, group after group, as the groups they are."""
    rows, positions = grid.places(tokens)
    columns = rows, positions.astype(np.int32), values.astype(np.float32), copies
    ends = np.cumsum(sizes)
    return [
        Examples(*(column[end - size : end] for column in columns)) for size, end in zip(sizes, ends, strict=True)
    ]


def _active_in(entries: FeatureEntries, rows: np.ndarray, width: int):
    """The feature's entries within some rows, as (where each row's begin, tokens, values)."""
    bounds = np.searchsorted(entries.tokens, np.concatenate([rows, rows + 1]) * width)
    begins, sizes = bounds[: len(rows)], bounds[len(rows) :] - bounds[: len(rows)]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    within = np.repeat(begins - starts[:-1], sizes) + np.arange(starts[-1])
    return starts, entries.tokens[within].astype(np.int64), entries.values[within]
