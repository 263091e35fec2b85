"""One row of the Gram matrix f^T f of rare features: products of a feature with all that are active where it is.

Gustavson's row-by-row sparse product (1978): go through the feature's tokens, add up what each token's entries hold.
"""

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def add_cooccurrences(tokens, values, offsets, columns, activations, products):
    """products[columns[e]] += values[n] * activations[e], for each token n of a feature and the entries e there.

    tokens, values [n] of the feature; entries by token in CSR: offsets [tokens + 1], columns and activations [e];
    products [width] float64, added to.
    """
    for n in range(len(tokens)):
        value = np.float64(values[n])
        # The entries of token t are offsets[t] to offsets[t + 1].
        for e in range(offsets[tokens[n]], offsets[tokens[n] + 1]):
            products[columns[e]] += value * activations[e]
