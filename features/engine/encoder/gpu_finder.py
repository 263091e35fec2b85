"""The active entries of a chunk of a corpus, found on a GPU without asking it how many there are.

They go into a buffer that is reserved beforehand. Whether it overflowed is known afterwards, when the chunk's results
are on the host: then nothing of it has been added to any sum, and the chunk is done again with a larger buffer.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..kernels.triton import entry_kernels
from .encoder import Encoder

BLOCK_BYTES = 512 << 20  # of the products held at a time
DENSE_SHARE, COPIES = 1 / 3, 4  # of free memory, for all of a chunk's activations and the copies made of them
HEADROOM, LEAST_CAPACITY = 1.5, 1 << 16  # times the entries that there were the last time; at least
BLOCK, KEPT_BLOCK = 1024, 128  # entries that a program looks at at a time
TILE = 8192  # numbers that a program holds of the rows that it gathers


@dataclass(frozen=True)
class GpuEntries:
    """Entries in buffers: feature by feature, tokens ascending. Behind the last one is padding, zeros."""

    offsets: Tensor  # [d_sae + 1] int64
    features: Tensor  # [capacity] int32
    tokens: Tensor  # [capacity] int32
    values: Tensor  # [capacity] float32
    needed: Tensor  # [] int64, the capacity that is needed; where it overflowed, there are no entries

    @property
    def fits(self) -> Tensor:
        """[] bool"""
        return self.needed <= len(self.values)


class GpuEntryFinder:
    """`Encoder`'s entries, and their sums with the hook point, by Triton's kernels."""

    def __init__(self, encoder: Encoder):
        self.encoder, self.sae, self.capacity = encoder, encoder.sae, LEAST_CAPACITY
        # Of the encoder; W_dec only stands in where nothing is screened, and is not read.
        self.rows = encoder.rows if encoder.is_screened else self.sae.W_dec  # [d_sae, d_in]
        self.floor = self.sae.floor

    def reserve(self, entries: int) -> None:
        """Buffers for so many entries and half as many more, from the next chunk on."""
        self.capacity = max(self.capacity, int(HEADROOM * entries), LEAST_CAPACITY)

    def __call__(self, hook: Tensor, fh: Tensor | None = None) -> GpuEntries:
        """Of hook [n, d_in] float32, contiguous. To fh [d_sae, d_in] float64 sums of activation times h are added.

        Same as reference.encode: float32 rounding.
        """
        with torch.cuda.device_of(hook):  # kernels run on the current one
            return self._activate(hook, fh, *self._candidates(hook))

    def _candidates(self, hook: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Offsets [d_sae + 1] of the entries that can be active, their tokens and values [capacity], and the capacity
        that they need []. Values are 0 where entries are screened."""
        d_sae, tokens, screened = self.sae.config.d_sae, len(hook), self.encoder.is_screened
        counts = torch.empty(d_sae, dtype=torch.int32, device=hook.device)
        offsets = torch.zeros(d_sae + 1, dtype=torch.int64, device=hook.device)
        hit_tokens = torch.zeros(self.capacity, dtype=torch.int32, device=hook.device)
        values = torch.zeros(self.capacity, device=hook.device)
        modes = {"SIGNED": not screened, "BLOCK": BLOCK}
        for part, products in self._products(hook):
            part_counts, grid = counts[part], (part.stop - part.start,)
            # Two sweeps: count each feature's entries, then write them from the prefix sum of the counts on.
            entry_kernels.count_hits[grid](products, part_counts, tokens, **modes)
            torch.cumsum(part_counts, 0, out=offsets[part.start + 1 : part.stop + 1])
            offsets[part.start + 1 : part.stop + 1] += offsets[part.start]
            entry_kernels.compact_hits[grid](
                products, offsets[part], hit_tokens, values, tokens, self.capacity, VALUES=not screened, **modes
            )  # fmt: skip
        needed = offsets[-1].clone()
        # On overflow all offsets become 0: every kernel from here on sees features without entries.
        offsets *= needed <= self.capacity
        return offsets, hit_tokens, values, needed

    def _products(self, hook: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """A block of features at a time, and numbers above zero (or other than zero) where they can be active.
        [features, n]"""
        if self.encoder.is_screened:
            yield from self.encoder.screen.products(hook, BLOCK_BYTES)
            return
        sae, d_sae = self.sae, self.sae.config.d_sae
        if not sae.is_plain:
            yield slice(0, d_sae), sae.encode(hook).t().contiguous()
            return
        step = max(1, BLOCK_BYTES // (4 * len(hook)))
        for start in range(0, d_sae, step):
            part = slice(start, min(start + step, d_sae))
            products = torch.addmm(sae.b_enc[part, None], sae.W_enc[:, part].t(), hook.t())
            yield part, products.mul_(products > self.floor[part, None])

    def _activate(self, hook, fh, offsets, hit_tokens, values, needed) -> GpuEntries:
        """The candidates that are active, without gaps; their activations are computed where they were screened."""
        d_sae, width = self.rows.shape
        counts = torch.empty(d_sae, dtype=torch.int32, device=hook.device)
        screened = self.encoder.is_screened
        if screened or fh is not None:
            order = offsets.diff().argsort(descending=True)  # the longest first: none is waited for in the end
            padded, entries, warps = tile_of(width)
            entry_kernels.activate[(d_sae,)](
                hook, self.rows, self.sae.b_enc, self.floor, order, offsets, hit_tokens, values, counts,
                values if fh is None else fh, width, EXACT=screened, SUMS=fh is not None, WIDTH=padded, ENTRIES=entries,
                num_warps=warps,
            )  # fmt: skip
        kept_offsets = offsets
        if screened:
            kept_offsets = torch.zeros_like(offsets)
            torch.cumsum(counts, 0, out=kept_offsets[1:])
        features, tokens = torch.zeros_like(hit_tokens), torch.zeros_like(hit_tokens)
        activations = torch.zeros_like(values)
        entry_kernels.drop_zeros[(d_sae,)](
            offsets, hit_tokens, values, kept_offsets, features, tokens, activations, BLOCK=KEPT_BLOCK
        )  # fmt: skip
        return GpuEntries(kept_offsets, features, tokens, activations, needed)

    def squared_error(self, hook: Tensor, entries: GpuEntries) -> Tensor:
        """Sum of |h - h'|^2 over tokens. hook [n, d_in] -> [] float64; 0 where the buffer overflowed"""
        tokens, index = len(hook), torch.arange(len(entries.tokens), device=hook.device)
        dtype = torch.int16 if tokens < 1 << 15 else torch.int32  # half as many bits are sorted in half the time
        # Padding gets a token behind the last one, so that it sorts to the end.
        keys = torch.where(index < entries.offsets[-1], entries.tokens, tokens).to(dtype)  # [capacity]
        keys, order = keys.sort(stable=True)
        offsets = torch.searchsorted(
            keys, torch.arange(tokens + 1, device=hook.device, dtype=dtype), out_int32=True
        )  # fmt: skip
        errors, (padded, gathered, warps) = torch.empty(tokens, device=hook.device), tile_of(hook.shape[1])
        shift, scale = (part.contiguous() for part in self.sae.undoing(hook))
        with torch.cuda.device_of(hook):
            entry_kernels.squared_errors[(tokens,)](
                hook, self.sae.W_dec, self.sae.b_dec, shift, scale, offsets, order, entries.features, entries.values,
                errors, hook.shape[1], WIDTH=padded, ENTRIES=gathered, num_warps=warps,
            )  # fmt: skip
        return errors.sum(dtype=torch.float64) * entries.fits


def tile_of(width: int) -> tuple[int, int, int]:
    """Of gathered rows: their width padded to a power of two, how many are held together, and by how many warps."""
    padded = 1 << max(4, (width - 1).bit_length())
    return padded, max(1, min(16, TILE // padded)), max(1, min(16, padded // 256))


def fits_memory(encoder: Encoder, tokens: int) -> bool:
    """Whether chunks of so many tokens fit. Features that are chosen among all of a token's are held all at once."""
    if encoder.sae.is_plain:
        return True
    free = torch.cuda.mem_get_info(encoder.sae.device)[0]
    return COPIES * 4 * tokens * encoder.sae.config.d_sae <= DENSE_SHARE * free


def run_trial(device: torch.device) -> None:
    """Run a kernel; whatever keeps it from running is raised."""
    ones, counts = torch.ones(1, 1, device=device), torch.zeros(1, dtype=torch.int32, device=device)
    with torch.cuda.device_of(ones):
        entry_kernels.count_hits[(1,)](ones, counts, 1, SIGNED=False, BLOCK=BLOCK)
    if int(counts) != 1:
        raise RuntimeError(f"A kernel counted {int(counts)} of 1.")
