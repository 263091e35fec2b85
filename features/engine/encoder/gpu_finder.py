"""The active entries of a piece of a corpus, found on a GPU without asking it how many there are.

They are put into a room that is made large enough beforehand. Whether it was is told afterwards, when the piece is
fetched: then nothing of it has been added to any sum, and it is done again in a larger room.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..kernels.triton import entry_kernels
from .encoder import Encoder

BLOCK_BYTES = 512 << 20  # of the products held at a time
DENSE_SHARE, COPIES = 1 / 3, 4  # of free memory, for all of a piece's activations and what they pass through
ROOM, LEAST_ROOM = 1.5, 1 << 16  # times the entries that were there the last time; at least
BLOCK, FEW = 1024, 128  # entries that a program looks at at a time
TILE = 8192  # numbers that a program holds of the rows that it gathers


@dataclass(frozen=True)
class Found:
    """Entries in their room: feature by feature, tokens ascending. Behind the last one stands anything in range."""

    starts: Tensor  # [d_sae + 1] int64
    features: Tensor  # [room] int32
    tokens: Tensor  # [room] int32
    values: Tensor  # [room] float32
    needed: Tensor  # [] int64, how many entries the room has to have; where it has not, none is there

    @property
    def fits(self) -> Tensor:
        """[] bool"""
        return self.needed <= len(self.values)


class Finder:
    """`Encoder`'s entries, and what they come to in sums, by kernels."""

    def __init__(self, encoder: Encoder):
        self.encoder, self.sae, self.room = encoder, encoder.sae, LEAST_ROOM
        sae = self.sae
        self.rows = encoder.rows if encoder.screens else sae.W_dec  # of the encoder; not read where nothing is screened
        self.least = sae.floor

    def make_room(self, entries: int) -> None:
        """For so many entries and half as many more."""
        self.room = max(self.room, int(ROOM * entries), LEAST_ROOM)

    def __call__(self, hook: Tensor, fh: Tensor | None = None) -> Found:
        """Of hook [n, d_in] float32, contiguous. To fh [d_sae, d_in] float64 sums of activation times h are added.

        Same as reference.encode: float32 rounding.
        """
        with torch.cuda.device_of(hook):  # kernels run on the current one
            return self._found(hook, fh)

    def _found(self, hook: Tensor, fh: Tensor | None) -> Found:
        features, tokens, room = self.sae.config.d_sae, len(hook), self.room
        counts = torch.empty(features, dtype=torch.int32, device=hook.device)
        starts = torch.zeros(features + 1, dtype=torch.int64, device=hook.device)
        places = torch.zeros(room, dtype=torch.int32, device=hook.device)
        values = torch.zeros(room, device=hook.device)
        modes = {"SIGNED": not self.encoder.screens, "BLOCK": BLOCK}
        for part, products in self._products(hook):
            own, grid = counts[part], (part.stop - part.start,)
            entry_kernels.count[grid](products, own, tokens, **modes)
            torch.cumsum(own, 0, out=starts[part.start + 1 : part.stop + 1])
            starts[part.start + 1 : part.stop + 1] += starts[part.start]
            entry_kernels.place[grid](
                products, starts[part], places, values, tokens, room, VALUES=not self.encoder.screens, **modes
            )  # fmt: skip
        needed = starts[-1].clone()
        starts *= needed <= room
        return self._activated(hook, fh, starts, places, values, needed)

    def _products(self, hook: Tensor):
        """Some features at a time, and numbers above zero (or other than zero) where they can be active. [some, n]"""
        if self.encoder.screens:
            yield from self.encoder.screen.products(hook, BLOCK_BYTES)
            return
        sae, size = self.sae, self.sae.config.d_sae
        if not sae.is_plain:
            yield slice(0, size), sae.encode(hook).t().contiguous()
            return
        step = max(1, BLOCK_BYTES // (4 * len(hook)))
        for start in range(0, size, step):
            part = slice(start, min(start + step, size))
            products = torch.addmm(sae.b_enc[part, None], sae.W_enc[:, part].t(), hook.t())
            yield part, products.mul_(products > self.least[part, None])

    def _activated(self, hook, fh, starts, places, values, needed) -> Found:
        size, width = self.rows.shape
        counts = torch.empty(size, dtype=torch.int32, device=hook.device)
        screens = self.encoder.screens
        if screens or fh is not None:
            order = starts.diff().argsort(descending=True)  # the longest first: none is waited for in the end
            padded, entries, warps = tile(width)
            entry_kernels.activate[(size,)](
                hook, self.rows, self.sae.b_enc, self.least, order, starts, places, values, counts,
                values if fh is None else fh, width, EXACT=screens, SUMS=fh is not None, WIDTH=padded, ENTRIES=entries,
                num_warps=warps,
            )  # fmt: skip
        kept = starts
        if screens:
            kept = torch.zeros_like(starts)
            torch.cumsum(counts, 0, out=kept[1:])
        features, tokens = torch.zeros_like(places), torch.zeros_like(places)
        found = torch.zeros_like(values)
        entry_kernels.keep[(size,)](starts, places, values, kept, features, tokens, found, BLOCK=FEW)
        return Found(kept, features, tokens, found, needed)

    def squared_error(self, hook: Tensor, found: Found) -> Tensor:
        """Sum of |h - h'|^2 over tokens. [] float64; 0 where the room did not do"""
        tokens, entry = len(hook), torch.arange(len(found.tokens), device=hook.device)
        kind = torch.int16 if tokens < 1 << 15 else torch.int32  # half as many bits are sorted in half the time
        keys = torch.where(entry < found.starts[-1], found.tokens, tokens).to(kind)
        keys, order = keys.sort(stable=True)
        starts = torch.searchsorted(keys, torch.arange(tokens + 1, device=hook.device, dtype=kind), out_int32=True)
        errors, (padded, entries, warps) = torch.empty(tokens, device=hook.device), tile(hook.shape[1])
        shift, scale = (part.contiguous() for part in self.sae.undoing(hook))
        with torch.cuda.device_of(hook):
            entry_kernels.squared_errors[(tokens,)](
                hook, self.sae.W_dec, self.sae.b_dec, shift, scale, starts, order, found.features, found.values,
                errors, hook.shape[1], WIDTH=padded, ENTRIES=entries, num_warps=warps,
            )  # fmt: skip
        return errors.sum(dtype=torch.float64) * found.fits


def tile(width: int) -> tuple[int, int, int]:
    """Of gathered rows: their padded width, how many are held together, and by how many warps."""
    padded = 1 << max(4, (width - 1).bit_length())
    return padded, max(1, min(16, TILE // padded)), max(1, min(16, padded // 256))


def can_find(encoder: Encoder, tokens: int) -> bool:
    """Whether pieces of so many tokens fit. Features that are chosen among all of a token's are held all at once."""
    if encoder.sae.is_plain:
        return True
    free = torch.cuda.mem_get_info(encoder.sae.device)[0]
    return COPIES * 4 * tokens * encoder.sae.config.d_sae <= DENSE_SHARE * free


def trial(device: torch.device) -> None:
    """Run a kernel; whatever keeps it from running is raised."""
    ones, counts = torch.ones(1, 1, device=device), torch.zeros(1, dtype=torch.int32, device=device)
    with torch.cuda.device_of(ones):
        entry_kernels.count[(1,)](ones, counts, 1, SIGNED=False, BLOCK=BLOCK)
    if int(counts) != 1:
        raise RuntimeError(f"A kernel counted {int(counts)} of 1.")
