"""Sums of powers of two over long rows, for many pairs of rows in one sweep: the softmax denominators of ablations.

Tensor calls would take several sweeps through memory. Only for the CPU; weights/ablation_sums.py has the tensor calls
that say the same, and tests compare both. exp2 is a range reduction x = whole + r (Cody and Waite, 1980), a polynomial
for 2**r, and the whole part written into the float's exponent.
"""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

PREFETCH_PAIRS = 4  # pairs ahead whose rows are prefetched: they lie too far apart for the processor to guess
CACHE_LINE = 64  # bytes
OVERFLOW = np.float32(2.0**100)  # a sum above it came from a logit that left the range of exp2
MIN_EXPONENT, MAX_EXPONENT = np.float32(-126), np.float32(127)  # between which powers of two are normal float32
HALF = np.float32(0.5)

# 2**r for r from -1/2 to 1/2 by interpolation at Chebyshev points, degree 5: off by 1e-7, as close as float32 is.
_polynomial = np.polynomial.Chebyshev.interpolate(np.exp2, 5, [-0.5, 0.5]).convert(kind=np.polynomial.Polynomial)
C0, C1, C2, C3, C4, C5 = _polynomial.coef.astype(np.float32)

FASTMATH = {"contract", "reassoc", "nsz", "nnan"}  # sums in any order; no NaN comes in


@intrinsic
def _as_float(context, bits):
    """The float32 with these 32 bits."""

    def build(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), build


@intrinsic
def _prefetch(context, address):
    """Asks for the cache line of an address, into the second-level cache."""

    def build(context, builder, signature, arguments):
        pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        # LLVM's arguments: 0 is a read, locality 2 the second-level cache, 1 data (not instructions).
        read, second_cache, data = number(0), number(2), number(1)
        builder.call(prefetch, [builder.inttoptr(arguments[0], pointer), read, second_cache, data])
        return context.get_dummy_value()

    return types.void(types.uintp), build


@njit(fastmath=FASTMATH, nogil=True, error_model="numpy", cache=True)
def _exp2_sum(residual_logits, effects, bias, inverse_scale, weight, reference):
    """Sum over the vocabulary of 2**(residual_logits * inverse_scale + effects * weight + bias - reference)."""
    total = np.float32(0)
    for v in range(len(residual_logits)):
        x = residual_logits[v] * inverse_scale + (effects[v] * weight + (bias[v] - reference))
        # Outside the clamp the exponent bits below would wrap around; OVERFLOW tells afterwards that it was hit.
        x = min(max(x, MIN_EXPONENT), MAX_EXPONENT)
        whole = np.floor(x + HALF)
        r = x - whole
        # 2**whole: a float32's exponent is stored with a bias of 127 above 23 bits of fraction.
        power = _as_float((np.int32(whole) + np.int32(127)) << np.int32(23))
        total += (C0 + r * (C1 + r * (C2 + r * (C3 + r * (C4 + r * C5))))) * power
    return total


@njit(nogil=True, cache=True)
def exp2_sums(residual_logits, effects, bias, references, positions, features, inverse_scales, weights, sums):
    """sums[n] = sum over the vocabulary of 2**(logit of pair n - its position's reference), infinite on overflow.

    residual_logits [p, v], effects [m, v], bias [v], references [p]; of each pair: positions, features, inverse_scales,
    weights and sums [n]. Same as _exp2_sums_by_tensors in weights/ablation_sums.py, up to float32 rounding.
    """
    base, row_bytes = np.uintp(effects.ctypes.data), np.uintp(4 * effects.shape[1])
    for n in range(len(positions)):
        # Positions ascend, so their rows are in the cache; the feature's row of a pair further on is asked for now.
        row = base + np.uintp(features[min(n + PREFETCH_PAIRS, len(positions) - 1)]) * row_bytes
        for line in range(0, 4 * effects.shape[1], CACHE_LINE):
            _prefetch(row + np.uintp(line))
        p = positions[n]
        total = _exp2_sum(residual_logits[p], effects[features[n]], bias, inverse_scales[n], weights[n], references[p])
        sums[n] = np.inf if total > OVERFLOW else total


@njit(fastmath=FASTMATH, nogil=True, cache=True)
def _dot(left, right):
    total = np.float32(0)
    for d in range(len(left)):
        total += left[d] * right[d]
    return total


@njit(nogil=True, cache=True)
def row_dots(left, right, left_rows, right_rows, dots):
    """dots[n] = left[left_rows[n]] . right[right_rows[n]]. left [p, d], right [m, d], the others [n]"""
    for n in range(len(left_rows)):
        dots[n] = _dot(left[left_rows[n]], right[right_rows[n]])
