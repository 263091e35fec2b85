"""What a screen leaves to loops: which products can be above zero; and the products of some rows alone, in float32."""

import numpy as np
from numba import njit

WORD = 8  # entries of which most often none can be active: then one question does for all
QUICK = {"contract", "reassoc", "nsz"}  # sums in any order


@njit(nogil=True, fastmath={"contract"}, cache=True)
def _hits(products, own, tokens, slack, hits):
    """Which of a row's bounds are above zero, or no number. -> hits [n] uint8"""
    a, b, c, d, e = own
    at_a, at_b, at_c, at_d, at_e = tokens[0], tokens[1], tokens[2], tokens[3], tokens[4]
    for n in range(len(products)):
        bound = np.float32(products[n]) + a * at_a[n] + b * at_b[n] + c * at_c[n] + d * at_d[n] + e * at_e[n] + slack
        hits[n] = not bound <= 0


@njit(nogil=True, cache=True)
def possible(products, own, tokens, slack, first, found):
    """Places of the entries whose bound is above zero, or no number, into found; returns how many.

    products [rows, n] int32; the bound is the product + slack + the sum over k of own[row, k] * tokens[k, token].
    A place is (first + row) * n + token.
    """
    count, width = 0, products.shape[1]
    hits = np.zeros(-(-width // WORD) * WORD, np.uint8)
    words = hits.view(np.uint64)
    for row in range(len(products)):
        x = own[row]
        _hits(products[row], (x[0], x[1], x[2], x[3], x[4]), tokens, np.float32(slack), hits)
        place = (first + row) * width
        for word in range(len(words)):
            if words[word]:
                for n in range(word * WORD, (word + 1) * WORD):
                    if hits[n]:
                        found[count] = place + n
                        count += 1
    return count


@njit(nogil=True, fastmath=QUICK, cache=True)
def _two(w, left, right):
    of_left, of_right = np.float32(0), np.float32(0)
    for k in range(len(w)):
        of_left += w[k] * left[k]
        of_right += w[k] * right[k]
    return of_left, of_right


@njit(nogil=True, cache=True)
def add_products(rows, hook, starts, places, found):
    """To found[e] the product of row i with hook[token], for the entries e from starts[i] to starts[i + 1], whose
    place is i * tokens + token.

    Two tokens at a time, a last one with itself: what comes out does not depend on what stands beside it.
    """
    for i in range(len(rows)):
        first = i * len(hook)
        for e in range(starts[i], starts[i + 1], 2):
            other = min(e + 1, starts[i + 1] - 1)
            left, right = _two(rows[i], hook[places[e] - first], hook[places[other] - first])
            found[e] += left
            if other > e:
                found[other] += right


@njit(nogil=True, cache=True)
def active(places, products, starts, tokens, bias, least, features, at, values):
    """The entries whose product + bias[row] is above least[row]: their rows, tokens and that sum; returns how many."""
    count = 0
    for i in range(len(starts) - 1):
        for e in range(starts[i], starts[i + 1]):
            value = products[e] + bias[i]
            if value > least[i]:
                features[count], at[count], values[count] = i, places[e] - i * tokens, value
                count += 1
    return count
