"""Which corpus positions of a feature are its top examples, and which tokens are close to an example?

The panel "top activations" of sae_vis, without its repetitions: greedy choice by activation, as in non-maximum
suppression, and windows of equal or nearly equal text shown once.
"""

from dataclasses import dataclass

import numpy as np

from ..results import SHORT_CONTEXT
from .activations import SortedActivations

TOP = 20
BEFORE, AFTER = 5, 5  # tokens around a chosen one that make its window
# Tokens before and after a chosen one whose effects are computed; activations are known in the whole row. An effect is
# drawn under the next token: for the first one of a short context it is that of the token before the context.
EFFECTS_BEFORE, EFFECTS_AFTER = max(SHORT_CONTEXT) + 1, max(SHORT_CONTEXT)
WINDOW = BEFORE + 1 + AFTER  # top examples of a row lie at least this far apart
DIFFERENT = 10  # of so many places that two windows have, one may differ: copies of a text with another number or name


@dataclass(frozen=True)
class TokenLayout:
    """Where tokens lie: token t is in row t // width, at position t % width + first."""

    rows: np.ndarray  # [n, length] token ids
    first: int  # positions in front of the first that counts: a BOS, and what is skipped

    @property
    def width(self) -> int:
        """Tokens of a row, those in front of the first that counts left out."""
        return self.rows.shape[1] - self.first

    def rows_and_positions(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows and positions of tokens. [n] int64 each"""
        rows, positions = np.divmod(tokens.astype(np.int64), self.width)
        return rows, positions + self.first

    def windows(self, tokens: np.ndarray) -> np.ndarray:
        """The token ids around tokens [...], -1 beyond the ends of rows. [..., WINDOW] int64"""
        rows, positions = self.rows_and_positions(tokens)
        columns = positions[..., None] + np.arange(-BEFORE, AFTER + 1)  # [..., WINDOW]
        inside = (columns >= 0) & (columns < self.rows.shape[1])
        return np.where(inside, self.rows[rows[..., None], np.where(inside, columns, 0)].astype(np.int64), -1)


def top_examples(activations: SortedActivations, layout: TokenLayout) -> tuple[np.ndarray, np.ndarray]:
    """Which of each feature's tokens, highest activation first, are its top examples, and how often each one's text
    came up before the list was full; 0 where there is none. [n, TOP] each

    Most often they are simply the highest ones. Where two of those are close or of near equal text, they are gone
    through one by one. Same as reference_examples.top_activations: exact.
    """
    shape = len(activations.counts), TOP
    indices, copies = np.tile(np.arange(TOP), (shape[0], 1)), np.ones(shape, np.int32)
    full = np.flatnonzero(activations.counts >= TOP)
    candidates = activations.tokens[activations.offsets[full, None] + np.arange(TOP)]  # [features, TOP]
    simple = full[_all_different(candidates, layout)]
    for n in np.setdiff1d(np.arange(shape[0]), simple):
        feature = slice(activations.offsets[n], activations.offsets[n + 1])
        chosen, times = top_one_by_one(activations.tokens[feature], layout)
        # Slots behind the last one chosen keep 0 copies: they are not filled.
        copies[n] = 0
        indices[n, : len(chosen)], copies[n, : len(chosen)] = chosen, times
    return indices, copies


def _all_different(tokens: np.ndarray, layout: TokenLayout) -> np.ndarray:
    """Whether no two of some features' tokens [n, m] are close to each other, nor of near equal text. [n] bool"""
    tokens = tokens.astype(np.int64)
    windows = layout.windows(tokens)  # [n, m, WINDOW]
    alike = np.zeros(len(tokens), bool)
    for n in range(1, tokens.shape[1]):
        alike |= near_equal(windows[:, :n], windows[:, n, None]).any(1)
    tokens.sort()
    # In sorted order the closest tokens are neighbours.
    close = (np.diff(tokens) < WINDOW) & (np.diff(tokens // layout.width) == 0)
    return ~(close.any(1) | alike)


def near_equal(windows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Whether windows [..., WINDOW] are of the same text as others, or nearly: the chosen token is the same, and of the
    places that both have, more than BEFORE, at most one in DIFFERENT is another. [...] bool

    Same as reference_examples.near_equal: exact.
    """
    same_token = windows[..., BEFORE] == others[..., BEFORE]
    both, other = (windows >= 0) & (others >= 0), windows != others
    common = both.sum(-1)
    few_differ = (common > BEFORE) & (DIFFERENT * (both & other).sum(-1) <= common)
    return (same_token & few_differ) | ~other.any(-1)


def top_one_by_one(tokens: np.ndarray, layout: TokenLayout) -> tuple[np.ndarray, np.ndarray]:
    """Which of a feature's `tokens`, highest activation first, are its top examples: no two of a row closer than a
    window, windows of the same or nearly the same text once. Also how often each text came up before the list was full.
    Same as reference_examples.top_activations: exact."""
    from ..kernels.numba.distinct_windows import choose_distinct

    chosen, copies, heads = np.empty(TOP, np.int64), np.zeros(TOP, np.int32), np.full(len(layout.rows), -1, np.int64)
    found = choose_distinct(tokens, np.asarray(layout.rows), layout.first, BEFORE, DIFFERENT, heads, chosen, copies)
    return chosen[:found], copies[:found]


def near_examples(tokens: np.ndarray, examples: np.ndarray, layout: TokenLayout) -> np.ndarray:
    """Which of a feature's `tokens` [n], ascending, lie near an example [m] of the same row. [n] bool"""
    near, examples = np.zeros(len(tokens), bool), np.sort(examples)
    if not len(examples):
        return near
    after = np.searchsorted(examples, tokens)
    # The nearest examples are the last one before the token and the first one from it on.
    for neighbour in (np.maximum(after - 1, 0), np.minimum(after, len(examples) - 1)):
        same_row = examples[neighbour] // layout.width == tokens // layout.width
        offset = tokens - examples[neighbour]
        near |= same_row & (offset >= -EFFECTS_BEFORE) & (offset <= EFFECTS_AFTER)
    return near
