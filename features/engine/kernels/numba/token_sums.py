"""Sums and counts of each feature's active entries: over chosen tokens, and of those that are large."""

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def add_at_tokens(chosen, offsets, features, values, least, counts, sums, sizes):
    """counts[i] += 1 where feature i is at least least[i] in size on a chosen token; sums[i] and sizes[i] += its value
    and its size there, whatever it is. Whether all features are below the length of `counts`.

    chosen [m] tokens; entries by token in CSR: offsets [tokens + 1], features and values [n]; least [d_sae] float32;
    counts [d_sae] int64, sums and sizes [d_sae] float64, added to.
    """
    for n in range(len(chosen)):
        # The entries of token t are offsets[t] to offsets[t + 1].
        for e in range(offsets[chosen[n]], offsets[chosen[n] + 1]):
            i = features[e]
            if i >= len(counts):
                return False
            value = values[e]
            size = abs(value)
            sums[i] += np.float64(value)
            sizes[i] += np.float64(size)
            if size >= least[i]:
                counts[i] += 1
    return True


@njit(nogil=True, cache=True)
def count_large(values, offsets, least, counts):
    """counts[i] = how many of the values from offsets[i] to offsets[i + 1] are least[i] in size at least.

    values [n] float32, offsets [d_sae + 1], least [d_sae] float32, counts [d_sae] int64, written.
    """
    for i in range(len(counts)):
        count = 0
        for e in range(offsets[i], offsets[i + 1]):
            count += abs(values[e]) >= least[i]
        counts[i] = count
