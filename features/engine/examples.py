"""Which corpus positions of a feature are shown: the top ones, some of every interval, some at random."""

from dataclasses import dataclass

import numpy as np

TOP = 20
BEFORE, AFTER = 5, 5  # tokens around a chosen one that make its window
EFFECTS_WITHIN = 10  # tokens of a chosen one: effects are computed there, activations in the whole row
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

    def windows(self, tokens: np.ndarray) -> list[bytes]:
        """The token ids around counted tokens, as keys: equal keys, equal text, cut off by equal ends of rows."""
        rows, positions = self.places(tokens)
        at = positions[:, None] + np.arange(-BEFORE, AFTER + 1)
        inside = (at >= 0) & (at < self.rows.shape[1])
        ids = np.where(inside, self.rows[rows[:, None], np.where(inside, at, 0)].astype(np.int64), -1)
        return [row.tobytes() for row in ids]


def top_places(tokens: np.ndarray, grid: Grid) -> tuple[np.ndarray, list[int]]:
    """Which of a feature's `tokens`, highest activation first, are its top examples: no two of a row closer than a
    window, windows of the same text once. Also how often each text came up before the list was full."""
    chosen, copies, taken = [], {}, {}
    for at, (token, row, text) in enumerate(_candidates(tokens, grid)):
        near_by = taken.setdefault(row, [])
        if any(abs(token - other) < WINDOW for other in near_by):
            continue
        near_by.append(token)
        if text in copies:
            copies[text] += 1
            continue
        copies[text] = 1
        chosen.append(at)
        if len(chosen) == TOP:
            break
    return np.array(chosen, np.int64), list(copies.values())


def _candidates(tokens: np.ndarray, grid: Grid):
    """(token, row, window) of each, looked up some at a time: most lists are full after a few more than TOP."""
    for start in range(0, len(tokens), 2 * TOP):
        some = tokens[start : start + 2 * TOP].astype(np.int64)
        yield from zip(some.tolist(), (some // grid.width).tolist(), grid.windows(some), strict=True)


def random_generator(seed: int, feature: int) -> np.random.Generator:
    """The same draws for a feature whatever else is computed beside it."""
    return np.random.default_rng((seed, feature))


def random_places(rng: np.random.Generator, start: int, stop: int, most: int) -> np.ndarray:
    """Numbers from `start` to `stop`, drawn uniformly without repetition, ascending. [most or all there are]

    Where few of many are drawn, draws with a repetition are thrown away whole, which leaves all sets as likely.
    """
    size = stop - start
    if size <= most:
        return np.arange(start, stop)
    if size < 20 * most:
        return np.sort(rng.permutation(size)[:most]) + start
    while True:
        drawn = np.sort(rng.integers(start, stop, most))
        if (drawn[1:] != drawn[:-1]).all():
            return drawn


def near(tokens: np.ndarray, chosen: np.ndarray, grid: Grid) -> np.ndarray:
    """Which of a feature's `tokens`, ascending, lie near a chosen one of the same row. [n] bool"""
    found, chosen = np.zeros(len(tokens), bool), np.sort(chosen)
    if not len(chosen):
        return found
    after = np.searchsorted(chosen, tokens)
    for at in (np.maximum(after - 1, 0), np.minimum(after, len(chosen) - 1)):
        same_row = chosen[at] // grid.width == tokens // grid.width
        found |= same_row & (np.abs(chosen[at] - tokens) <= EFFECTS_WITHIN)
    return found
