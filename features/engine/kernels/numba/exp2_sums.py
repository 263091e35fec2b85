"""Sums over rows for many pairs of them in one sweep, where tensor calls would take several through memory.

Only for the CPU. Tensor calls that say the same stand beside them: a GPU runs those, and tests compare.
"""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

AHEAD = 4  # pairs whose rows are asked for before they are needed: they lie too far apart for the processor to guess
LINE = 64  # bytes that memory gives at a time
HUGE = np.float32(2.0**100)  # a sum of so much came from a logit that moved out of the range of exp2
LOW, HIGH = np.float32(-126), np.float32(127)  # between which powers of two are plain float32 numbers
HALF = np.float32(0.5)

# 2**r for r from -1/2 to 1/2, off by 1e-7: as close as float32 is.
_power = np.polynomial.Chebyshev.interpolate(np.exp2, 5, [-0.5, 0.5]).convert(kind=np.polynomial.Polynomial)
C0, C1, C2, C3, C4, C5 = _power.coef.astype(np.float32)

QUICK = {"contract", "reassoc", "nsz", "nnan"}  # sums in any order; no NaN comes in


@intrinsic
def _as_float(context, bits):
    """The float32 with these 32 bits."""

    def build(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), build


@intrinsic
def _ask_for(context, address):
    """Has memory bring a line to the second cache."""

    def build(context, builder, signature, arguments):
        pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        read, second_cache, data = number(0), number(2), number(1)
        builder.call(prefetch, [builder.inttoptr(arguments[0], pointer), read, second_cache, data])
        return context.get_dummy_value()

    return types.void(types.uintp), build


@njit(fastmath=QUICK, nogil=True, error_model="numpy", cache=True)
def _sum_of_powers(residual, effects, bias, stretch, weight, top):
    """Sum over the vocabulary of 2**(residual * stretch + effects * weight + bias - top)."""
    total = np.float32(0)
    for v in range(len(residual)):
        x = residual[v] * stretch + (effects[v] * weight + (bias[v] - top))
        x = min(max(x, LOW), HIGH)
        whole = np.floor(x + HALF)
        r = x - whole
        power = _as_float((np.int32(whole) + np.int32(127)) << np.int32(23))
        total += (C0 + r * (C1 + r * (C2 + r * (C3 + r * (C4 + r * C5))))) * power
    return total


@njit(nogil=True, cache=True)
def sums_of_powers(residuals, effects, bias, tops, at, which, stretches, weights, found):
    """found[n] = sum over the vocabulary of 2**(logit of pair n - tops[at[n]]), infinite where a logit is far above it.

    residuals [p, v], effects [m, v], bias [v], tops [p]; at, which, stretches, weights and found [n].
    """
    start, size = np.uintp(effects.ctypes.data), np.uintp(4 * effects.shape[1])
    for n in range(len(at)):
        row = start + np.uintp(which[min(n + AHEAD, len(at) - 1)]) * size
        for line in range(0, 4 * effects.shape[1], LINE):
            _ask_for(row + np.uintp(line))
        p = at[n]
        total = _sum_of_powers(residuals[p], effects[which[n]], bias, stretches[n], weights[n], tops[p])
        found[n] = np.inf if total > HUGE else total


@njit(fastmath=QUICK, nogil=True, cache=True)
def _dot(left, right):
    total = np.float32(0)
    for d in range(len(left)):
        total += left[d] * right[d]
    return total


@njit(nogil=True, cache=True)
def row_dots(left, right, at, which, found):
    """found[n] = left[at[n]] . right[which[n]]"""
    for n in range(len(at)):
        found[n] = _dot(left[at[n]], right[which[n]])
