"""Products of a rare feature with all that stand where it does."""

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def add_meetings(tokens, values, starts, columns, others, found):
    """found[c] += values[n] * others[e] for the entries e, of column c = columns[e], that stand at each token."""
    for n in range(len(tokens)):
        value = np.float64(values[n])
        for e in range(starts[tokens[n]], starts[tokens[n] + 1]):
            found[columns[e]] += value * others[e]
