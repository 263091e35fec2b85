"""Rows of a matrix that may be too large for memory: kept there while small, else in a file without a name."""

import os
import tempfile

import numpy as np
import torch
from torch import Tensor

MEMORY_BYTES = 256 << 20  # larger matrices go to disk (TMPDIR says which)


class RowStore:
    """float32 [count, width], filled once in order, then read row by row. Safe to read from several threads."""

    def __init__(self, count: int, width: int, device):
        self.shape, self.device = (count, width), device
        self._filled, self._file, self._memory = 0, None, None
        if 4 * count * width > MEMORY_BYTES:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (closed with this object)
        else:
            self._memory = torch.empty(count, width, device=device)

    def append(self, rows: Tensor) -> None:
        if self._memory is not None:
            self._memory[self._filled : self._filled + len(rows)] = rows
        else:
            self._file.write(np.ascontiguousarray(rows.cpu().numpy()).data)
        self._filled += len(rows)

    def take(self, indices: Tensor) -> Tensor:
        """A copy of some rows. [n, width]"""
        if self._memory is not None:
            return self._memory.index_select(0, indices)
        found = np.empty((len(indices), self.shape[1]), np.float32)
        for row, index in zip(found, indices.tolist(), strict=True):
            os.preadv(self._file.fileno(), [row], 4 * self.shape[1] * index)
        return torch.from_numpy(found).to(self.device)
