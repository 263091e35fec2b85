"""In which order are rows read, once and again? Each pass in an order of its own, so that no batch comes twice."""

from functools import lru_cache

import numpy as np


def row_numbers(first: int, count: int, rows: int, seed: int = 0) -> np.ndarray:
    """Which of `rows` rows are the first-th, .. to be read, over as many passes as that takes. [count] int64

    The first pass is as stored (they are stored shuffled), each later one in a random order of its own. Several passes
    are worth nearly as much as new text, up to about four: Muennighoff et al., "Scaling data-constrained language
    models" (2023).
    """
    places = np.arange(first, first + count)
    numbers = places % rows
    for again in np.unique(places // rows):
        if again:
            here = places // rows == again
            numbers[here] = order(int(again), rows, seed)[numbers[here]]
    return numbers


@lru_cache(maxsize=2)
def order(again: int, rows: int, seed: int) -> np.ndarray:
    """The order of one pass. [rows] int64"""
    return np.random.default_rng((seed, again)).permutation(rows)
