"""Counts over the tokens on which one feature is active: of what stands there, and of which features are active too."""

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def count_classes(classes, tokens, sizes, counts, sums, seen):
    """counts[c] += 1 and sums[c] += the size, for the class of each token, -1 being none; the distinct ones into
    `seen`, as they are met. How many those are.

    classes [all tokens] int32, tokens [n], sizes [n] float32; counts [classes] int64 and sums [classes] float64, 0
    where nothing was counted; seen [classes] int32.
    """
    found = 0
    for n in range(len(tokens)):
        c = classes[tokens[n]]
        if c >= 0:
            if counts[c] == 0:
                seen[found] = c
                found += 1
            counts[c] += 1
            sums[c] += np.float64(sizes[n])
    return found


@njit(nogil=True, cache=True)
def count_features(tokens, width, offsets, features, together, following):
    """together[j] += 1 for each feature j that is active on each of the tokens, following[j] += 1 for each that is
    active on the token behind it, in the same row.

    tokens [n], numbered in rows of `width`; all entries by token in CSR: offsets [all tokens + 1], features [entries],
    none of them d_sae or above: nothing here looks. together and following [d_sae] int32, added to.
    """
    for n in range(len(tokens)):
        t = np.int64(tokens[n])
        # The entries of the token behind lie behind this one's: memory is waited for once. No branch on what was
        # counted before: these lines run for every pair of activations.
        for e in range(offsets[t], offsets[t + 1]):
            together[np.intp(features[e])] += 1
        if t % width + 1 < width:
            for e in range(offsets[t + 1], offsets[t + 2]):
                following[np.intp(features[e])] += 1
