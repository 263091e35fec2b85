"""Rows of a matrix that may be too large for memory: kept there while small, else in a file without a name."""

import errno
import os
import tempfile

import numpy as np
import torch
from torch import Tensor

MEMORY_BYTES = 256 << 20  # larger matrices go to disk (TMPDIR says which)


class RowStore:
    """float32 [count, width], filled once, then read row by row; both from several threads."""

    def __init__(self, count: int, width: int, device):
        self.shape, self.device = (count, width), device
        self._file, self._memory = None, None
        if 4 * count * width > MEMORY_BYTES:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (closed with this object)
        else:
            self._memory = torch.empty(count, width, device=device)

    def put(self, start: int, rows: Tensor) -> None:
        """Rows from number `start` on."""
        if self._memory is not None:
            self._memory[start : start + len(rows)] = rows
            return
        for n, row in enumerate(rows.cpu().numpy(), start):
            self._check(os.pwrite(self._file.fileno(), row.data, 4 * self.shape[1] * n))

    def take(self, indices: Tensor) -> Tensor:
        """A copy of some rows. [n, width]"""
        if self._memory is not None:
            return self._memory.index_select(0, indices)
        found = np.empty((len(indices), self.shape[1]), np.float32)
        for row, index in zip(found, indices.tolist(), strict=True):
            self._check(os.preadv(self._file.fileno(), [row], 4 * self.shape[1] * index))
        return torch.from_numpy(found).to(self.device)

    def _check(self, done: int) -> None:
        if done != 4 * self.shape[1]:
            need = 4 * self.shape[0] * self.shape[1] / 1e9
            raise OSError(
                errno.ENOSPC,
                f"{done:,} of a row's {4 * self.shape[1]:,} bytes fitted into {tempfile.gettempdir()}, where "
                f"{need:.1f} GB are needed for a while. Make room there, or let TMPDIR name another folder",
            )
