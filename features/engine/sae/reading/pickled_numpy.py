"""What do numpy's numbers look like inside a pickle? Stand-ins that rebuild them from their bytes, and run nothing.

numpy's own functions are never called with what a file says: some of them take memory by the number it names.
"""

import math
import re

import numpy as np
import torch

DTYPES = re.compile(r"[<>|=]?[fiub][1248]")  # floats, whole numbers and booleans of up to 8 bytes


class Dtype:
    """Stands in for numpy.dtype: the name of a type, and its order of bytes."""

    def __init__(self, name="", *_):
        self.name, self.order = str(name), "<"

    def __setstate__(self, state):
        # (version, order of bytes, ...): "<", ">", or "|" where it does not matter.
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">"):
            self.order = state[1]

    def numpy(self) -> np.dtype | None:
        """The type itself; None for all that is no plain number."""
        if not DTYPES.fullmatch(self.name):
            return None
        return np.dtype(self.name).newbyteorder(self.order)


class Array:
    """Stands in for an array: its shape, type and bytes."""

    def __init__(self, *_):
        self.shape, self.dtype, self.content, self.fortran = (), None, b"", False

    def __setstate__(self, state):
        # (version, shape, type, whether columns come first, bytes), as numpy.ndarray.__reduce__ writes it.
        if isinstance(state, tuple) and len(state) == 5:
            _, self.shape, self.dtype, self.fortran, self.content = state

    def tensor(self) -> torch.Tensor | None:
        """The same as a tensor; None where it holds anything but as many numbers as its shape says."""
        dtype = self.dtype.numpy() if isinstance(self.dtype, Dtype) else None
        whole = isinstance(self.shape, tuple) and all(isinstance(n, int) and n >= 0 for n in self.shape)
        if dtype is None or not whole or not isinstance(self.content, bytes):
            return None
        if math.prod(self.shape) * dtype.itemsize != len(self.content):
            return None
        numbers = np.frombuffer(self.content, dtype).astype(dtype.newbyteorder("="))
        return torch.from_numpy(numbers.reshape(self.shape, order="F" if self.fortran else "C").copy())


def scalar(dtype=None, content=None):
    """Stands in for numpy's constructor of single numbers: the number in Python's own kind; None for all else."""
    kind = dtype.numpy() if isinstance(dtype, Dtype) else None
    if kind is None or not isinstance(content, bytes) or len(content) != kind.itemsize:
        return None
    return np.frombuffer(content, kind)[0].item()


def empty_array(*_) -> Array:
    """Stands in for what makes an array before its bytes are known: of no size, whatever is asked for."""
    return Array()


STAND_INS = [
    (Dtype, "numpy.dtype"),
    (Array, "numpy.ndarray"),
    *((scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    *((empty_array, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
]
NAMES = {name for _, name in STAND_INS}
