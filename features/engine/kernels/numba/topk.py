"""The few largest and smallest of long rows in one sweep, of numbers or correlations; how many lie between edges."""

import numpy as np
from numba import njit

QUICK = {"contract", "reassoc", "nsz", "nnan"}  # in any order; no NaN comes in
BLOCK = 64  # numbers looked at together: only where their ends count is each one looked at


@njit(nogil=True, cache=True)
def _insert(value, place, values, places):
    """Into values in descending order, the last one falling out; behind equal ones."""
    at = len(values) - 1
    while at > 0 and values[at - 1] < value:
        values[at], places[at] = values[at - 1], places[at - 1]
        at -= 1
    values[at], places[at] = value, place


@njit(fastmath=QUICK, nogil=True, cache=True)
def _ends(values):
    highest, lowest = values[0], values[0]
    for value in values:
        highest, lowest = max(highest, value), min(lowest, value)
    return highest, lowest


@njit(nogil=True, cache=True)
def extremes(rows, width, high, high_at, low, low_at):
    """The highest of the first `width` of each row and the lowest with their sign turned, best first, and their places.

    high [n, a], low [n, b]: -inf at first.
    """
    for n in range(len(rows)):
        row = rows[n, :width]
        for start in range(0, width, BLOCK):
            part = row[start : start + BLOCK]
            highest, lowest = _ends(part)
            if highest <= high[n, -1] and -lowest <= low[n, -1]:
                continue
            for j in range(len(part)):
                if part[j] > high[n, -1]:
                    _insert(part[j], start + j, high[n], high_at[n])
                if -part[j] > low[n, -1]:
                    _insert(-part[j], start + j, low[n], low_at[n])


@njit(fastmath=QUICK, nogil=True, error_model="numpy", cache=True)
def _correlate(products, sums, scales, x, scale, tokens, found):
    """Pearson correlations of one with some others; the highest and the lowest of them.

    Same as reference.pearson: exact of sums in float64.
    """
    highest = lowest = (tokens * products[0] - x * sums[0]) * scale * scales[0]
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
                    _insert(r, j, high[n], high_at[n])
                if -r > low[n, -1]:
                    _insert(-r, j, low[n], low_at[n])


@njit(fastmath=QUICK, error_model="numpy", nogil=True, cache=True)
def _guess(values, first, scale, last, bins):
    """The bins that a multiplication says."""
    for j in range(len(values)):
        bins[j] = max(min(np.int32((values[j] - first) * scale), last), np.int32(0))


@njit(error_model="numpy", nogil=True, cache=True)
def count_between(rows, width, edges, found):
    """How many of the first `width` of each row lie in each bin [n, b]: left edges inside, the last bin closed.

    edges [n, b + 1], nearly equally far apart, the row's lowest and highest number at the ends. found: 0 at first.
    """
    last = found.shape[1] - 1
    bins = np.empty(16 * BLOCK, np.int32)
    for n in range(len(rows)):
        own, counts = edges[n], found[n]
        span = own[-1] - own[0]
        scale = np.float32(last + 1) / span if span > 0 else np.float32(0)
        if not np.isfinite(scale):  # the row is next to nothing
            scale = np.float32(0)
        for start in range(0, width, len(bins)):
            values = rows[n, start : min(start + len(bins), width)]
            _guess(values, own[0], scale, np.int32(last), bins)
            for j in range(len(values)):
                at, value = bins[j], values[j]
                while at > 0 and value < own[at]:
                    at -= 1
                while at < last and value >= own[at + 1]:
                    at += 1
                counts[at] += 1
