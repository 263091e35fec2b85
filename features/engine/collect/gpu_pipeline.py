"""The chunks of a shard, submitted to the GPU before the last ones have come back: software pipelining."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..encoder.gpu_finder import GpuEntryFinder
from ..kernels.transfers import AsyncHostCopy
from ..store.active_entries import Chunk
from ..store.sums import StreamingSums

AHEAD = 2  # chunks submitted beyond the one that is waited for


@dataclass(frozen=True)
class _Submitted:
    """A chunk on its way, as one encoder sees it."""

    number: int  # of the encoder
    rows: np.ndarray
    start: int  # number of the first row
    tokens: int  # counted ones
    copy: AsyncHostCopy | None  # None without a counted token


class Pipeline:
    """Takes chunks of one shard in order, gives their entries back in order."""

    def __init__(self, finders: list[GpuEntryFinder], hook: Callable, sums: StreamingSums, first: int):
        """`hook(rows)` as in `ShardPass`; `sums` are of the first finder's entries; `first` position of a row that
        counts."""
        self.finders, self.hook, self.sums, self.first = finders, hook, sums, first

    def run(self, parts: Iterable[tuple[np.ndarray, int]]) -> Iterator[tuple[int, list[Chunk]]]:
        """Counted tokens and entries by each finder, from (rows, number of the first) of each chunk."""
        pending = deque()
        for rows, start in parts:
            pending.append(self._submit(rows, start))
            # The host waits for a chunk only while AHEAD more are queued: the GPU always has something to do.
            if len(pending) > AHEAD:
                yield self._collect(pending.popleft())
        while pending:
            yield self._collect(pending.popleft())

    @torch.no_grad()
    def _submit(self, rows: np.ndarray, start: int, only: int | None = None) -> list[_Submitted]:
        """Queues a chunk's work for every encoder, or for `only` one; nothing here waits for the GPU."""
        hook, indices = self.hook(rows)
        wanted = range(len(self.finders)) if only is None else [only]
        copies = (self._copy(n, hook, indices) if len(hook) else None for n in wanted)
        return [_Submitted(n, rows, start, len(hook), copy) for n, copy in zip(wanted, copies, strict=True)]

    def _copy(self, number: int, hook: Tensor, indices: Tensor) -> AsyncHostCopy:
        finder = self.finders[number]
        entries = finder(hook, self.sums.fh.whole if number == 0 and self.sums.fh else None)
        if number == 0:
            # Whether the buffers fit is a number on the GPU: a chunk that overflowed adds zeros.
            self.sums.add(self.sums.of_chunk(hook, finder.squared_error(hook, entries)), entries.fits)
        tokens = indices[entries.tokens].to(torch.int16)  # the bits of what is unsigned
        return AsyncHostCopy(entries.needed, entries.offsets, tokens, entries.values)

    def _collect(self, submitted: list[_Submitted]) -> tuple[int, list[Chunk]]:
        return submitted[0].tokens, [self._chunk(each) for each in submitted]

    def _chunk(self, submitted: _Submitted) -> Chunk:
        """What has come back; where its buffer overflowed, the chunk is done again with a larger one."""
        # Positions are numbered without BOS: `width` of them in each row, those of special tokens among them.
        width = submitted.rows.shape[1] - self.first
        first, size = submitted.start * width, len(submitted.rows) * width
        if submitted.copy is None:
            return Chunk.empty(first, size, self.finders[submitted.number].sae.config.d_sae)
        # The one wait for the GPU, for a chunk that was submitted AHEAD chunks ago.
        needed, offsets, tokens, values = submitted.copy.wait()
        if needed > len(values):
            self.finders[submitted.number].reserve(int(needed))
            return self._chunk(self._submit(submitted.rows, submitted.start, submitted.number)[0])
        # Behind the last entry the buffers hold padding.
        end = offsets[-1]
        return Chunk(first, size, offsets, tokens.view(np.uint16)[:end], values[:end])
