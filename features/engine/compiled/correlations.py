"""Correlations of a feature with thousands of others in one sweep: products where rare features meet, and extremes."""

import numpy as np
from numba import njit

from .extremes import BLOCK, QUICK, insert


@njit(fastmath=QUICK, nogil=True, error_model="numpy", cache=True)
def _correlate(products, sums, scales, x, scale, tokens, found):
    """Pearson correlations of one with some others; the highest and the lowest of them."""
    highest, lowest = np.float64(-np.inf), np.float64(np.inf)
    for j in range(len(products)):
        r = (tokens * products[j] - x * sums[j]) * scale * scales[j]
        found[j] = r
        highest, lowest = max(highest, r), min(lowest, r)
    return highest, lowest


@njit(nogil=True, cache=True)
def extreme_correlations(products, x, scale, sums, scales, tokens, own, high, high_at, low, low_at):
    """Of each row of products [n, m], the highest Pearson correlations and the lowest with their sign turned, best
    first, and their places.

    x and scale [n], sums and scales [m]: of a value over the tokens, and the inverse root of its spread, 0 where it
    does not vary: that has none. own [n]: a place left out. high [n, a], low [n, b]: -inf at first.
    """
    found = np.empty(BLOCK)
    for n in range(len(products)):
        for start in range(0, products.shape[1], BLOCK):
            stop = min(start + BLOCK, products.shape[1])
            highest, lowest = _correlate(
                products[n, start:stop], sums[start:stop], scales[start:stop], x[n], scale[n], tokens, found
            )
            if highest <= high[n, -1] and -lowest <= low[n, -1]:
                continue
            for j in range(start, stop):
                r = found[j - start]
                if scales[j] == 0 or j == own[n]:
                    continue
                if r > high[n, -1]:
                    insert(r, j, high[n], high_at[n])
                if -r > low[n, -1]:
                    insert(-r, j, low[n], low_at[n])


@njit(nogil=True, cache=True)
def add_meetings(tokens, values, starts, columns, others, found):
    """found[c] += values[n] * others[e] for the entries e, of column c = columns[e], that stand at each token."""
    for n in range(len(tokens)):
        value = np.float64(values[n])
        for e in range(starts[tokens[n]], starts[tokens[n] + 1]):
            found[columns[e]] += value * others[e]
