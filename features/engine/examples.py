"""Which corpus positions of a feature are shown: the top ones, some of every interval, some at random."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .results import Examples, Interval
from .statistics import SortedEntries

TOP = 20
RANDOM = 20
PER_INTERVAL = 5
BEFORE, AFTER = 5, 5  # tokens around a chosen one that make its window
EFFECTS_WITHIN = 20  # tokens of a chosen one: effects are computed there, activations in the whole row
WINDOW = BEFORE + 1 + AFTER  # top examples of a row lie at least this far apart


@dataclass(frozen=True)
class Grid:
    """Where counted tokens lie: token t is in row t // width, at position t % width + first."""

    rows: np.ndarray  # [n, length] token ids
    first: int  # 1 when rows start with a BOS that is not counted

    @property
    def width(self) -> int:
        """Counted tokens of a row."""
        return self.rows.shape[1] - self.first

    def places(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows and positions of counted tokens. [n] int64 each"""
        rows, positions = np.divmod(tokens.astype(np.int64), self.width)
        return rows, positions + self.first

    def window(self, token: int) -> bytes:
        """The token ids around a counted token, as a key: equal keys, equal text."""
        row, position = divmod(int(token), self.width)
        position += self.first
        return self.rows[row, max(0, position - BEFORE) : position + AFTER + 1].tobytes()

    def examples(self, tokens: np.ndarray, values: np.ndarray, copies: Iterable[int] | None = None) -> Examples:
        rows, positions = self.places(tokens)
        counts = np.ones(len(tokens)) if copies is None else np.array(list(copies))
        return Examples(rows, positions.astype(np.int32), values.astype(np.float32), counts.astype(np.int32))


def top_examples(entries: SortedEntries, grid: Grid) -> Examples:
    """The highest activations, no two of a row closer than a window; windows of the same text once, with the
    number of times they came up before the list was full."""
    chosen, copies, taken = [], {}, {}
    for at, token in enumerate(entries.tokens):
        row = int(token) // grid.width
        near = taken.setdefault(row, [])
        if any(abs(int(token) - other) < WINDOW for other in near):
            continue
        near.append(int(token))
        text = grid.window(token)
        if text in copies:
            copies[text] += 1
            continue
        copies[text] = 1
        chosen.append(at)
        if len(chosen) == TOP:
            break
    return grid.examples(entries.tokens[chosen], entries.values[chosen], copies.values())


def random_generator(seed: int, feature: int) -> np.random.Generator:
    """The same draws for a feature whatever else is computed beside it."""
    return np.random.default_rng((seed, feature))


def random_examples(entries: SortedEntries, grid: Grid, rng: np.random.Generator, part=None, most=RANDOM) -> Examples:
    """Positions drawn uniformly without repetition from all active ones, or from a slice of them; the
    highest first."""
    start, stop, _ = (part or slice(None)).indices(len(entries.tokens))
    drawn = np.sort(rng.choice(stop - start, min(most, stop - start), replace=False)) + start
    return grid.examples(entries.tokens[drawn], entries.values[drawn])


def interval_examples(entries: SortedEntries, grid: Grid, rng: np.random.Generator) -> tuple[Interval, ...]:
    """Every interval with its count and some positions drawn uniformly from it."""
    return tuple(
        Interval(low, high, part.stop - part.start, random_examples(entries, grid, rng, part, PER_INTERVAL))
        for low, high, part in entries.intervals()
    )


def near_examples(tokens: np.ndarray, groups: Iterable[Examples], grid: Grid) -> np.ndarray:
    """Which of a feature's `tokens`, ascending, lie near a chosen position of the same row. [n] bool"""
    chosen = np.unique(np.concatenate([group.rows * grid.width + group.positions - grid.first for group in groups]))
    tokens = tokens.astype(np.int64)
    if not len(chosen):
        return np.zeros(len(tokens), bool)
    after = np.searchsorted(chosen, tokens)
    near = np.zeros(len(tokens), bool)
    for at in (np.maximum(after - 1, 0), np.minimum(after, len(chosen) - 1)):
        same_row = chosen[at] // grid.width == tokens // grid.width
        near |= same_row & (np.abs(chosen[at] - tokens) <= EFFECTS_WITHIN)
    return near
