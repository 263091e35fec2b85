"""What a screen leaves to loops: find the entries whose bound is above zero, compute those exactly in float32."""

import numpy as np
from numba import njit

WORD = 8  # entries whose one-byte flags are tested at once, as one 64-bit word: mostly all are 0
FASTMATH = {"contract", "reassoc", "nsz"}  # sums in any order; NaN and infinity keep their meaning


@njit(nogil=True, fastmath={"contract"}, cache=True)
def _flag_row(products, feature_terms, token_terms, slack, flags):
    """Which of a row's bounds are above zero, or NaN. products [n] int32, token_terms [5, n] -> flags [n] uint8"""
    a, b, c, d, e = feature_terms
    t_a, t_b, t_c, t_d, t_e = token_terms[0], token_terms[1], token_terms[2], token_terms[3], token_terms[4]
    for n in range(len(products)):
        bound = np.float32(products[n]) + a * t_a[n] + b * t_b[n] + c * t_c[n] + d * t_d[n] + e * t_e[n] + slack
        # `not <=` instead of `>`: NaN, which cannot be bounded, is flagged too.
        flags[n] = not bound <= 0


@njit(nogil=True, cache=True)
def find_candidates(products, feature_terms, token_terms, slack, first, candidates):
    """Flat indices of the entries whose bound is above zero, or NaN, into candidates; returns how many.

    products [rows, n] int32, feature_terms [rows, 5], token_terms [5, n]. The bound of (row, token) is the product +
    slack + the sum over k of feature_terms[row, k] * token_terms[k, token]; its flat index (first + row) * n + token.
    """
    count, width = 0, products.shape[1]
    flags = np.zeros(-(-width // WORD) * WORD, np.uint8)
    words = flags.view(np.uint64)
    for row in range(len(products)):
        x = feature_terms[row]
        _flag_row(products[row], (x[0], x[1], x[2], x[3], x[4]), token_terms, np.float32(slack), flags)
        row_start = (first + row) * width
        for word in range(len(words)):
            if words[word]:
                # One of these eight entries is a candidate. Flags beyond the row's end stay 0.
                for n in range(word * WORD, (word + 1) * WORD):
                    if flags[n]:
                        candidates[count] = row_start + n
                        count += 1
    return count


@njit(nogil=True, fastmath=FASTMATH, cache=True)
def _dot_two(w, left, right):
    """w . left and w . right, in one loop over w."""
    left_sum, right_sum = np.float32(0), np.float32(0)
    for k in range(len(w)):
        left_sum += w[k] * left[k]
        right_sum += w[k] * right[k]
    return left_sum, right_sum


@njit(nogil=True, cache=True)
def add_products(rows, hook, offsets, candidates, products):
    """products[e] += rows[i] . hook[token], for the entries e from offsets[i] to offsets[i + 1].

    rows [d_sae, k], hook [tokens, k], offsets [d_sae + 1], candidates [n] flat indices i * tokens + token, products
    [n] float32. Two tokens at a time, a last one with itself: a result does not depend on which entries stand beside
    it. Same as the whole product at those entries, up to float32 rounding.
    """
    for i in range(len(rows)):
        row_start = i * len(hook)
        for e in range(offsets[i], offsets[i + 1], 2):
            # The row's next entry, or e itself where e is the last one.
            pair = min(e + 1, offsets[i + 1] - 1)
            left, right = _dot_two(rows[i], hook[candidates[e] - row_start], hook[candidates[pair] - row_start])
            products[e] += left
            if pair > e:
                products[pair] += right


@njit(nogil=True, cache=True)
def keep_active(candidates, products, offsets, tokens, bias, floor, features, active_tokens, values):
    """The candidates whose product + bias[row] is above floor[row]: features, tokens and that sum; returns how many.

    candidates, products [n], offsets [d_sae + 1], bias and floor [d_sae]; features, active_tokens, values [>= n] are
    filled in.
    """
    count = 0
    for i in range(len(offsets) - 1):
        for e in range(offsets[i], offsets[i + 1]):
            value = products[e] + bias[i]
            if value > floor[i]:
                features[count], active_tokens[count], values[count] = i, candidates[e] - i * tokens, value
                count += 1
    return count
