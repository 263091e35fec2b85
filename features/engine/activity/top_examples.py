"""Which corpus positions of a feature are its top examples, and which tokens are close to an example."""

from dataclasses import dataclass

import numpy as np

from .activations import Ordered

TOP = 20
BEFORE, AFTER = 5, 5  # tokens around a chosen one that make its window
EFFECTS_WITHIN = 10  # tokens of a chosen one: effects are computed there, activations in the whole row
WINDOW = BEFORE + 1 + AFTER  # top examples of a row lie at least this far apart
_WEIGHTS = np.random.default_rng(0).integers(2**62, size=WINDOW)  # of a window's tokens in its sum


@dataclass(frozen=True)
class TokenLayout:
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

    def windows(self, tokens: np.ndarray) -> np.ndarray:
        """The token ids around counted tokens [...], -1 beyond the ends of rows: equal ones are equal text, cut off
        by equal ends. [..., WINDOW] int64"""
        rows, positions = self.places(tokens)
        at = positions[..., None] + np.arange(-BEFORE, AFTER + 1)
        inside = (at >= 0) & (at < self.rows.shape[1])
        return np.where(inside, self.rows[rows[..., None], np.where(inside, at, 0)].astype(np.int64), -1)


def tops(ordered: Ordered, grid: TokenLayout) -> tuple[np.ndarray, np.ndarray]:
    """Which of each feature's tokens, highest activation first, are its top examples, and how often each one's text
    came up before the list was full; 0 where there is none. [n, TOP] each

    Most often they are simply the highest ones. Where two of those are close or perhaps the same text, they are gone
    through one by one. Same as reference.top_activations: exact.
    """
    shape = len(ordered.counts), TOP
    places, copies = np.tile(np.arange(TOP), (shape[0], 1)), np.ones(shape, np.int32)
    enough = np.flatnonzero(ordered.counts >= TOP)
    simple = enough[_all_different(ordered.tokens[ordered.starts[enough, None] + np.arange(TOP)], grid)]
    for n in np.setdiff1d(np.arange(shape[0]), simple):
        found, times = top_places(ordered.tokens[ordered.starts[n] : ordered.starts[n + 1]], grid)
        copies[n] = 0
        places[n, : len(found)], copies[n, : len(found)] = found, times
    return places, copies


def _all_different(tokens: np.ndarray, grid: TokenLayout) -> np.ndarray:
    """Whether no two of some features' tokens [n, m] are close to each other, nor can be of the same text. [n] bool"""
    tokens = tokens.astype(np.int64)
    texts = np.sort((grid.windows(tokens) * _WEIGHTS).sum(-1))  # equal texts have equal sums; others hardly ever
    tokens.sort()
    close = (np.diff(tokens) < WINDOW) & (np.diff(tokens // grid.width) == 0)
    return ~(close | (np.diff(texts) == 0)).any(1)


def top_places(tokens: np.ndarray, grid: TokenLayout) -> tuple[np.ndarray, list[int]]:
    """Which of a feature's `tokens`, highest activation first, are its top examples: no two of a row closer than a
    window, windows of the same text once. Also how often each text came up before the list was full.
    Same as reference.top_activations: exact."""
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


def _candidates(tokens: np.ndarray, grid: TokenLayout):
    """(token, row, window) of each, looked up some at a time: most lists are full after a few more than TOP."""
    for start in range(0, len(tokens), 2 * TOP):
        some = tokens[start : start + 2 * TOP].astype(np.int64)
        texts = (window.tobytes() for window in grid.windows(some))
        yield from zip(some.tolist(), (some // grid.width).tolist(), texts, strict=True)


def near(tokens: np.ndarray, chosen: np.ndarray, grid: TokenLayout) -> np.ndarray:
    """Which of a feature's `tokens`, ascending, lie near a chosen one of the same row. [n] bool"""
    found, chosen = np.zeros(len(tokens), bool), np.sort(chosen)
    if not len(chosen):
        return found
    after = np.searchsorted(chosen, tokens)
    for at in (np.maximum(after - 1, 0), np.minimum(after, len(chosen) - 1)):
        same_row = chosen[at] // grid.width == tokens // grid.width
        found |= same_row & (np.abs(chosen[at] - tokens) <= EFFECTS_WITHIN)
    return found
