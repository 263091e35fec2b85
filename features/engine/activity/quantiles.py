"""How rare is a value of a feature? A sketch of exact values at tail ranks, and reading a quantile off it.

The quantile of v is the share of all counted tokens, zeros included, on which the feature is below v; where
activations have a sign, on which its size is below that of v. Near 1 it is the tail 1 - q that must be right, so the
sketch keeps the values at ranks 1, 2, 3 ... from the top: every rank up to 100, from there each at most 2 % beyond the
one before. Tails of up to 99 tokens are exact, longer ones within 1 %, or within 2 % of a value that several tokens
share. (A biased quantile summary: Cormode, Korn, Muthukrishnan and Srivastava, 2005. The figure is sae_vis's
act_quantile.)
"""

from functools import lru_cache

import numpy as np

STEP = 1.02  # between neighbouring ranks, so that the middle of a gap is within 1 % of either end
MOST_RANKS = 4096  # enough for 2**64 tokens


@lru_cache(maxsize=1)
def _all_ranks() -> np.ndarray:
    ranks = [1]
    while len(ranks) < MOST_RANKS and ranks[-1] < 2**53:
        # Neighbours are one apart up to 100, whose 2 % are two: 99, 100, 102, 104.
        ranks.append(max(ranks[-1] + 1, int(ranks[-1] * STEP)))
    return np.array(ranks, dtype=np.int64)


def quantile_ranks(count: int) -> np.ndarray:
    """Ranks from the top (1 = the highest value) at which a feature with `count` active tokens keeps its
    values; the last is `count` itself. [n] int64"""
    ranks = _all_ranks()
    # Ranks up to `count`, and `count` itself: its value is the smallest activation.
    ranks = ranks[: np.searchsorted(ranks, count, side="right")]
    return ranks if not count or ranks[-1] == count else np.append(ranks, count)


def values_at_ranks(descending: np.ndarray) -> np.ndarray:
    """The quantile sketch of a feature from all its active values, highest first. [count] -> [n] float32"""
    return descending[quantile_ranks(len(descending)) - 1].astype(np.float32)


def tail_count(sketch: np.ndarray, count: int, values) -> np.ndarray:
    """Number of counted tokens with activation >= each value, for values > 0. [n] float64

    Exact where neighbouring ranks are one apart, and at the sketch's values unless tokens behind a kept rank share its
    value; otherwise the middle of the certain bracket.
    """
    values = np.asarray(values, dtype=np.float32)
    if not count:
        return np.zeros(values.shape)
    ranks = quantile_ranks(count)
    reached = np.searchsorted(-sketch, -values, side="right")  # entries of the sketch that are >= value, [n]
    # The tail reaches at least the last rank whose value is >= v, and ends before the next one.
    least = np.where(reached > 0, ranks[np.maximum(reached - 1, 0)], 0)
    # One less than the next rank, whose value is smaller; behind the last rank all `count` reach it.
    most = np.where(reached < len(ranks), ranks[np.minimum(reached, len(ranks) - 1)] - 1, count)
    exact = (reached > 0) & (sketch[np.maximum(reached - 1, 0)] == values) & ~_tied_below(sketch, reached)
    return np.where(exact, least, (least + most) / 2)


def _tied_below(sketch: np.ndarray, reached: np.ndarray) -> np.ndarray:
    """Whether equal values may go on beyond the last entry reached: then its rank is only a bound. [n] bool"""
    before = np.maximum(reached - 2, 0)
    return (reached > 1) & (sketch[before] == sketch[np.maximum(reached - 1, 0)])


def quantile(sketch: np.ndarray, count: int, tokens: int, values) -> np.ndarray:
    """Share of the `tokens` counted with an activation smaller than each value. [n] float64

    `sketch` as from `values_at_ranks`, `count` the active tokens. Zero has quantile 0: no activation is
    smaller. Above the highest value seen the tail is taken as half a token, so that it stays below 1 and
    above the quantile of the highest. Same as reference.act_quantile: exact for tails of up to 99 tokens, longer
    ones within 1 %, or within 2 % of a value that several tokens share. `quantileText` of static/shared/text.js is more
    careful: it takes tails from 52 tokens on to be known to 1 %.
    """
    values = np.abs(np.asarray(values, dtype=np.float32))
    tail = np.maximum(tail_count(sketch, count, values), 0.5)
    # `tokens` is 0 where nothing was counted.
    return np.where(values > 0, 1 - tail / max(tokens, 1), 0.0)
