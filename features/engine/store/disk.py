"""Arrays in files, read a segment at a time.

Not mapped for good: what was read through a mapping counts as this process's memory until somebody else needs it.
"""

import os
from pathlib import Path

import numpy as np


class ArrayFile:
    """One-dimensional, of one dtype. The file may lose its name while this is open; threads may read side by side."""

    def __init__(self, path: Path, dtype):
        self.dtype = np.dtype(dtype)
        self._file = Path(path).open("rb", buffering=0)  # noqa: SIM115 (open as long as this is)

    def __getitem__(self, part: slice) -> np.ndarray:
        """A copy of a slice; both ends given. Raises OSError where the file is shorter."""
        array = np.empty(max(0, part.stop - part.start), self.dtype)  # [stop - start]
        # preadv takes its own position, so that threads share the file; it may read less than it was asked for.
        rest, position = memoryview(array).cast("B"), part.start * self.dtype.itemsize
        while len(rest):
            count = os.preadv(self._file.fileno(), [rest], position)
            if not count:
                raise OSError(f"{self._file.name} ends at byte {position:,}; it should have {len(rest):,} more.")
            rest, position = rest[count:], position + count
        return array


class MatrixFile:
    """Rows of an .npy file. It may lose its name while this is open; threads may read side by side."""

    def __init__(self, path: Path):
        self._file = Path(path).open("rb")  # noqa: SIM115 (open as long as this is)
        np.lib.format.read_magic(self._file)
        self.shape, _, self._dtype = np.lib.format.read_array_header_1_0(self._file)
        self._start = self._file.tell()

    def __getitem__(self, rows) -> np.ndarray:
        """A copy of rows named by a slice or by their indices."""
        # Mapped for this one copy only: then its pages are not this process's any more.
        return np.array(np.memmap(self._file, self._dtype, "r", self._start, self.shape)[rows])
