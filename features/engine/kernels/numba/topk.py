"""One sweep over long rows for their few largest and smallest numbers or correlations, and for histogram counts.

A blocked top-k: a block is looked at number by number only where its maximum or minimum would enter the list.
"""

import numpy as np
from numba import njit

FASTMATH = {"contract", "reassoc", "nsz", "nnan"}  # sums in any order; no NaN comes in
BLOCK = 64  # numbers whose maximum and minimum are taken before any of them is looked at


@njit(nogil=True, cache=True)
def _insert(value, index, values, indices):
    """Insertion into values in descending order [k], the last one falling out; behind equal ones."""
    slot = len(values) - 1
    while slot > 0 and values[slot - 1] < value:
        values[slot], indices[slot] = values[slot - 1], indices[slot - 1]
        slot -= 1
    values[slot], indices[slot] = value, index


@njit(fastmath=FASTMATH, nogil=True, cache=True)
def _max_and_min(values):
    highest, lowest = values[0], values[0]
    for value in values:
        highest, lowest = max(highest, value), min(lowest, value)
    return highest, lowest


@njit(nogil=True, cache=True)
def row_extremes(rows, width, high, high_indices, low, low_indices):
    """The highest of the first `width` of each row and the negated lowest, best first, and their indices.

    rows [n, >= width]; high, high_indices [n, a] and low, low_indices [n, b] are filled in: high and low hold -inf at
    first. Same as sorting each row.
    """
    for n in range(len(rows)):
        row = rows[n, :width]
        for start in range(0, width, BLOCK):
            block = row[start : start + BLOCK]
            highest, lowest = _max_and_min(block)
            # Nothing of the block beats the last of either list.
            if highest <= high[n, -1] and -lowest <= low[n, -1]:
                continue
            for j in range(len(block)):
                if block[j] > high[n, -1]:
                    _insert(block[j], start + j, high[n], high_indices[n])
                if -block[j] > low[n, -1]:
                    _insert(-block[j], start + j, low[n], low_indices[n])


@njit(fastmath=FASTMATH, nogil=True, error_model="numpy", cache=True)
def _correlate(products, partner_sums, partner_scales, own_sum, own_scale, tokens, correlations):
    """Pearson correlations of one feature with a block of partners; the highest and the lowest of them.

    Same as reference.pearson: exact of sums in float64.
    """
    # r = (T sum(xy) - sum(x) sum(y)) / (T sd(x) T sd(y)), with scale = 1 / (T sd).
    highest = lowest = (tokens * products[0] - own_sum * partner_sums[0]) * own_scale * partner_scales[0]
    for j in range(len(products)):
        r = (tokens * products[j] - own_sum * partner_sums[j]) * own_scale * partner_scales[j]
        correlations[j] = r
        highest, lowest = max(highest, r), min(lowest, r)
    return highest, lowest


@njit(nogil=True, cache=True)
def extreme_correlations(
    products, own_sums, own_scales, partner_sums, partner_scales, tokens, excluded, high, high_indices, low, low_indices
):
    """Of each row of products [n, m], the highest Pearson correlations and the negated lowest, best first, and their
    columns.

    own_sums, own_scales [n] and partner_sums, partner_scales [m]: the sum of a value over the tokens, and 1 / (tokens
    * standard deviation), 0 where it does not vary: that has no correlation. excluded [n]: a column left out, the
    feature itself, or -1. high, high_indices [n, a] and low, low_indices [n, b] are filled in: high and low hold -inf
    at first.
    """
    correlations = np.empty(BLOCK)
    for n in range(len(products)):
        for start in range(0, products.shape[1], BLOCK):
            stop = min(start + BLOCK, products.shape[1])
            highest, lowest = _correlate(
                products[n, start:stop], partner_sums[start:stop], partner_scales[start:stop],
                own_sums[n], own_scales[n], tokens, correlations,
            )  # fmt: skip
            # Nothing of the block beats the last of either list.
            if highest <= high[n, -1] and -lowest <= low[n, -1]:
                continue
            for j in range(start, stop):
                r = correlations[j - start]
                if partner_scales[j] == 0 or j == excluded[n]:
                    continue
                if r > high[n, -1]:
                    _insert(r, j, high[n], high_indices[n])
                if -r > low[n, -1]:
                    _insert(-r, j, low[n], low_indices[n])


@njit(fastmath=FASTMATH, error_model="numpy", nogil=True, cache=True)
def _estimate_bins(values, first_edge, bins_per_unit, last_bin, bins):
    """The bin of each value as a multiplication gives it; its rounding may be off by one bin or so."""
    for j in range(len(values)):
        bins[j] = max(min(np.int32((values[j] - first_edge) * bins_per_unit), last_bin), np.int32(0))


@njit(error_model="numpy", nogil=True, cache=True)
def histogram_counts(rows, width, edges, counts):
    """How many of the first `width` of each row lie in each bin: left edges inside, the last bin closed.

    edges [n, b + 1], nearly equally far apart, the row's lowest and highest number at the ends. counts [n, b] int64,
    0 at first. Same as np.histogram with these edges.
    """
    last_bin = counts.shape[1] - 1
    bins = np.empty(16 * BLOCK, np.int32)
    for n in range(len(rows)):
        row_edges, row_counts = edges[n], counts[n]
        span = row_edges[-1] - row_edges[0]
        bins_per_unit = np.float32(last_bin + 1) / span if span > 0 else np.float32(0)
        if not np.isfinite(bins_per_unit):  # all numbers of the row are as good as equal: the division overflowed
            bins_per_unit = np.float32(0)
        for start in range(0, width, len(bins)):
            values = rows[n, start : min(start + len(bins), width)]
            _estimate_bins(values, row_edges[0], bins_per_unit, np.int32(last_bin), bins)
            for j in range(len(values)):
                b, value = bins[j], values[j]
                # Step to the bin whose edges enclose the value: the edges decide, not the estimate.
                while b > 0 and value < row_edges[b]:
                    b -= 1
                while b < last_bin and value >= row_edges[b + 1]:
                    b += 1
                row_counts[b] += 1
