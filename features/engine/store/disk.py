"""Numbers in a file, read a stretch at a time.

Not mapped for good: what was read would count as this process's memory for as long as nobody else needs it.
"""

import os
from pathlib import Path

import numpy as np


class Numbers:
    """One-dimensional, of one type. The file may lose its name while this is open; threads may read side by side."""

    def __init__(self, path: Path, kind):
        self.kind = np.dtype(kind)
        self._file = Path(path).open("rb", buffering=0)  # noqa: SIM115 (open as long as this is)

    def __getitem__(self, part: slice) -> np.ndarray:
        found = np.empty(max(0, part.stop - part.start), self.kind)
        rest, at = memoryview(found).cast("B"), part.start * self.kind.itemsize
        while len(rest):
            count = os.preadv(self._file.fileno(), [rest], at)
            if not count:
                raise OSError(f"{self._file.name} ends at byte {at:,}; it should have {len(rest):,} more.")
            rest, at = rest[count:], at + count
        return found


class Matrix:
    """Rows of an .npy file. It may lose its name while this is open; threads may read side by side."""

    def __init__(self, path: Path):
        self._file = Path(path).open("rb")  # noqa: SIM115 (open as long as this is)
        np.lib.format.read_magic(self._file)
        self.shape, _, self._kind = np.lib.format.read_array_header_1_0(self._file)
        self._start = self._file.tell()

    def __getitem__(self, rows) -> np.ndarray:
        """A copy of rows named by a slice or by their numbers."""
        return np.array(np.memmap(self._file, self._kind, "r", self._start, self.shape)[rows])
