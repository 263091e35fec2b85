"""The pieces of a shard, handed to the GPU before the last ones have come back: it always has something to do."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..encoder.gpu_finder import Finder
from ..kernels.transfers import Fetched
from ..store.active_entries import Piece
from ..store.sums import StreamingSums

AHEAD = 2  # pieces handed out beyond the one that is waited for


@dataclass(frozen=True)
class _Part:
    """A piece on its way, as one encoder sees it."""

    number: int  # of the encoder
    rows: np.ndarray
    start: int  # number of the first row
    tokens: int  # counted ones
    fetched: Fetched | None  # None without a counted token


class Pipeline:
    """Takes pieces of one shard in order, gives their entries back in order."""

    def __init__(self, finders: list[Finder], hook: Callable, sums: StreamingSums, first: int):
        """`hook(rows)` as in `Pass`; the first finder's entries are what `sums` are of; rows count from `first` on."""
        self.finders, self.hook, self.sums, self.first = finders, hook, sums, first

    def over(self, pieces: Iterable[tuple[np.ndarray, int]]) -> Iterator[tuple[int, list[Piece]]]:
        """Counted tokens and entries by each finder, from (rows, number of the first) of each piece."""
        waiting = deque()
        for rows, start in pieces:
            waiting.append(self._hand_out(rows, start))
            if len(waiting) > AHEAD:
                yield self._done(waiting.popleft())
        while waiting:
            yield self._done(waiting.popleft())

    @torch.no_grad()
    def _hand_out(self, rows: np.ndarray, start: int, only: int | None = None) -> list[_Part]:
        hook, places = self.hook(rows)
        wanted = range(len(self.finders)) if only is None else [only]
        found = (self._found(n, hook, places) if len(hook) else None for n in wanted)
        return [_Part(n, rows, start, len(hook), fetched) for n, fetched in zip(wanted, found, strict=True)]

    def _found(self, number: int, hook: Tensor, places: Tensor) -> Fetched:
        finder = self.finders[number]
        found = finder(hook, self.sums.fh.whole if number == 0 else None)
        if number == 0:
            self.sums.update(hook, finder.squared_error(hook, found), found.fits)
        tokens = places[found.tokens].to(torch.int16)  # the bits of what is unsigned
        return Fetched(found.needed, found.starts, tokens, found.values)

    def _done(self, parts: list[_Part]) -> tuple[int, list[Piece]]:
        return parts[0].tokens, [self._piece(part) for part in parts]

    def _piece(self, part: _Part) -> Piece:
        """What has come back; where its room did not do, it is done again."""
        width = part.rows.shape[1] - self.first
        place = part.start * width, len(part.rows) * width
        if part.fetched is None:
            return Piece.empty(*place, self.finders[part.number].sae.config.d_sae)
        needed, starts, tokens, values = part.fetched.wait()
        if needed > len(values):
            self.finders[part.number].make_room(int(needed))
            return self._piece(self._hand_out(part.rows, part.start, part.number)[0])
        end = starts[-1]
        return Piece(*place, starts, tokens.view(np.uint16)[:end], values[:end])
