"""Greedy choice of a feature's top examples among its tokens, one after another: no neighbours, no text twice."""

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def choose_distinct(tokens, ids, first, around, different, heads, chosen, copies):
    """Indices of the tokens that are chosen into `chosen`, how often each one's text came up into `copies`; how many
    those are, at most as many as there is room. Same as reference_examples.top_activations: exact.

    tokens [n], highest activation first, as TokenLayout numbers them; ids [rows, length]; `first` position of rows that
    counts; windows are the `around` ids before a token, the token and those after; one place in `different` may differ.
    heads [rows] int64, all -1, and left so.
    """
    length, window = ids.shape[1], 2 * around + 1
    width = length - first
    shown = np.empty((len(chosen) + 1, window), np.int64)  # the last one is looked at, and is chosen or overwritten
    # Tokens taken of a row are a chain: heads[row] is the last one, before[n] the one before it, -1 the end.
    taken, before = np.empty(len(tokens), np.int64), np.empty(len(tokens), np.int64)
    found = count = 0
    for index in range(len(tokens)):
        token = np.int64(tokens[index])
        row = token // width
        link = heads[row]
        while link >= 0 and abs(token - taken[link]) >= window:
            link = before[link]
        if link >= 0:
            continue
        # A repetition takes its neighbourhood too: what stands beside it is the same text shifted.
        taken[count] = token
        before[count] = heads[row]
        heads[row] = count
        count += 1
        # Tokens are numbered without the `first` positions of their rows: the window begins `around` before this one.
        start = token % width + first - around
        for n in range(window):
            column = start + n
            shown[found, n] = ids[row, column] if 0 <= column < length else -1
        # Where none is like it, that is its own number, and what was written there stays.
        same = _first_like(shown, found, around, different)
        if same < found:
            copies[same] += 1
            continue
        chosen[found] = index
        copies[found] = 1
        found += 1
        if found == len(chosen):
            break
    # Only rows that were touched are made free again: there may be a hundred thousand of them.
    for n in range(count):
        heads[taken[n] // width] = -1
    return found


@njit(nogil=True, cache=True)
def _first_like(windows, own, around, different):
    """The first of windows [n, window] in front of number `own` that is near equal to that one; `own` where none is.
    Same as reference_examples.near_equal: exact."""
    for n in range(own):
        common = differ = others = 0
        for place in range(windows.shape[1]):
            a, b = windows[n, place], windows[own, place]
            if a != b:
                others += 1
            if a >= 0 and b >= 0:
                common += 1
                if a != b:
                    differ += 1
        is_same_token = windows[n, around] == windows[own, around]
        if others == 0 or (is_same_token and common > around and different * differ <= common):
            return n
    return own
