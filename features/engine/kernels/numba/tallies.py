"""Counts of what stands on chosen tokens: a feature's, against those of a text. Sweeps without a copy of anything."""

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def tally(classes, tokens, counts, seen):
    """counts[c] += 1 for the class of each token, -1 being none; the distinct ones into `seen`, in the order in which
    they are met. How many those are.

    classes [all tokens] int32, tokens [n], counts [classes] int64, 0 where nothing was counted; seen [classes] int32.
    """
    # A count of 0 says that a class is met for the first time: no set of those seen is needed.
    found = 0
    for n in range(len(tokens)):
        c = classes[tokens[n]]
        if c >= 0:
            if counts[c] == 0:
                seen[found] = c
                found += 1
            counts[c] += 1
    return found


@njit(nogil=True, cache=True)
def tally_bits(bits, tokens, counts):
    """counts[b] += 1 for each bit b that is set on each of the tokens. bits [all tokens] uint64, counts [bits] int64"""
    for n in range(len(tokens)):
        # Lowest bit first: b is the place of the bit that stands lowest in what is left of the word.
        word = bits[tokens[n]]
        b = 0
        while word:
            if word & np.uint64(0xFF) == 0:  # most bytes of a word are empty
                word >>= np.uint64(8)
                b += 8
                continue
            if word & np.uint64(1):
                counts[b] += 1
            word >>= np.uint64(1)
            b += 1


@njit(nogil=True, cache=True)
def tally_bits_by_class(classes, bits, counted, counts):
    """counts[c, b] += 1 for each bit b that is set on the counted tokens of class c.

    classes [tokens] int32 (-1: none), bits [tokens] uint64, counted [tokens] bool, counts [classes, bits] int32.
    """
    for t in range(len(classes)):
        if counted[t] and classes[t] >= 0:
            word = bits[t]
            b = 0
            while word:
                if word & np.uint64(1):
                    counts[classes[t], b] += 1
                word >>= np.uint64(1)
                b += 1


@njit(nogil=True, cache=True)
def add_lists(chosen, offsets, items, numbers, sums):
    """sums[items[e]] += numbers[e] over the lists of the chosen: those of list c are offsets[c] to offsets[c + 1]."""
    for n in range(len(chosen)):
        for e in range(offsets[chosen[n]], offsets[chosen[n] + 1]):
            sums[items[e]] += numbers[e]


@njit(nogil=True, cache=True)
def add_to_lists(chosen, numbers, offsets, items, sums):
    """sums[items[e]] += numbers[c] over the lists of the chosen c: those of list c are offsets[c] to offsets[c + 1]."""
    for n in range(len(chosen)):
        c = chosen[n]
        for e in range(offsets[c], offsets[c + 1]):
            sums[items[e]] += numbers[c]


@njit(nogil=True, cache=True)
def clear_lists(chosen, offsets, items, sums):
    """What `add_lists` added to is 0 again."""
    for n in range(len(chosen)):
        for e in range(offsets[chosen[n]], offsets[chosen[n] + 1]):
            sums[items[e]] = 0


@njit(nogil=True, cache=True)
def grow(seen, hits, sizes, active, most, gain, chosen):
    """The set of classes that goes best with a feature, grown one by one: the one that raises F1 most, of equal ones
    the lowest, as long as it raises it by `gain`; `most` at most. (F1, how many of `chosen` were written)

    Of a set with h hits and n tokens F1 is 2 h / (active + n). seen [m] int32, the candidates; hits [classes] int64 on
    tokens of the feature, sizes [classes] int64 on all; `active`: the feature's tokens; chosen [most] int32.
    """
    best_f1, count = 0.0, 0
    all_hits, all_size = np.int64(0), np.int64(0)
    while count < most:
        best = -1
        reached = 0.0
        for n in range(len(seen)):
            c = seen[n]
            taken = False
            for k in range(count):
                taken = taken or chosen[k] == c
            if taken:
                continue
            # Classes are disjoint, so hits and sizes of the set grown by c are sums.
            f1 = 2 * (all_hits + hits[c]) / (active + all_size + sizes[c])
            if f1 > reached or (f1 == reached and c < best):
                best, reached = c, f1
        if best < 0 or (count > 0 and reached < best_f1 + gain):
            break
        chosen[count] = best
        count += 1
        all_hits += hits[best]
        all_size += sizes[best]
        best_f1 = reached
    return best_f1, count
