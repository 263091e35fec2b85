"""Sums and counts of each feature's active entries: over chosen tokens, in rows, and of those that are large."""

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def add_at_tokens(chosen, offsets, features, values, least, counts, sums, sizes):
    """counts[i] += 1 where feature i is at least least[i] in size on a chosen token; sums[i] and sizes[i] += its value
    and its size there, whatever it is; nothing is added to sizes that are empty. Whether all features are below the
    length of `counts`.

    chosen [m] tokens; entries by token in CSR: offsets [tokens + 1], features and values [n]; least [d_sae] float32;
    counts [d_sae] int64, sums [d_sae] and sizes [d_sae or 0] float64, added to.
    """
    for n in range(len(chosen)):
        # The entries of token t are offsets[t] to offsets[t + 1].
        for e in range(offsets[chosen[n]], offsets[chosen[n] + 1]):
            i = np.intp(features[e])
            if i >= len(counts):
                return False
            value = values[e]
            counts[i] += np.int64(abs(value) >= least[i])  # added in any case: a branch would be guessed wrong
            sums[i] += np.float64(value)
            if len(sizes):
                sizes[i] += np.float64(abs(value))
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


@njit(nogil=True, cache=True)
def sizes_exceeded(bits, offsets, most, exceeded):
    """exceeded[i] = the largest size that more than `most` of the values from offsets[i] to offsets[i + 1] have at
    least; untouched where there are no more than `most` of them.

    bits [n] uint32 of float32 values, offsets [d_sae + 1], exceeded [d_sae] uint32, the bits of a float32, written.
    Sizes are ordered as their bits are: found 11, 10 and 10 bits at a time, by how many have which.
    """
    tally, left = np.zeros(2048, np.int64), np.zeros(1, np.int64)
    same = np.empty(np.diff(offsets).max(), np.uint32)  # sizes whose first bits are those that are sought
    for i in range(len(exceeded)):
        if offsets[i + 1] - offsets[i] <= most:
            continue
        tally[:], left[0] = 0, most + 1
        for e in range(offsets[i], offsets[i + 1]):
            tally[(bits[e] & 0x7FFFFFFF) >> 20] += 1
        first = _class_of(tally, left)
        tally[:], n = 0, 0
        for e in range(offsets[i], offsets[i + 1]):
            size = bits[e] & 0x7FFFFFFF
            if size >> 20 == first:
                same[n] = size
                tally[(size >> 10) & 1023] += 1
                n += 1
        second = _class_of(tally, left)
        tally[:] = 0
        for e in range(n):
            if (same[e] >> 10) & 1023 == second:
                tally[same[e] & 1023] += 1
        exceeded[i] = (first << 20) | (second << 10) | _class_of(tally, left)


@njit(nogil=True, cache=True)
def _class_of(tally, left):
    """The class in which the left[0]-th highest is; left[0] becomes its rank within."""
    found = len(tally) - 1
    while tally[found] < left[0]:
        left[0] -= tally[found]
        found -= 1
    return found


@njit(nogil=True, cache=True)
def count_in_rows(tokens, values, firsts, counts, least, held, width, active, hits):
    """active[r] and hits[r] += tokens of row r on which one feature is at least `least` in size, and where `held` holds
    there too. Whether all tokens are below the length of `held`.

    tokens [n], ascending within each chunk: so many as `counts` [chunks] says are numbered from firsts [chunks] on;
    values [n] float32, held [all tokens] bool; active and hits [rows] float32, added to.
    """
    e, row, end, large, both = 0, 0, width, 0, 0
    for c in range(len(counts)):
        for _ in range(counts[c]):
            t = firsts[c] + np.int64(tokens[e])
            if t >= len(held):
                return False
            if t >= end:
                active[row] += large
                hits[row] += both
                row, large, both = t // width, 0, 0
                end = (row + 1) * width
            counts_here = np.int64(abs(values[e]) >= least)  # added in any case: a branch would be guessed wrong
            large += counts_here
            both += counts_here & np.int64(held[t])
            e += 1
    active[row] += large
    hits[row] += both
    return True
