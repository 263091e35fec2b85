"""The screen's question by a product of whole numbers: which entries of the encoder's product can be active?

Processors with instructions for it multiply bytes up to five times as fast as float32, and exactly. Each activation h
(its mean taken off) and each feature's weights w become whole numbers times a scale, h' = s m and w' = t k, m and k
numbers of which the lowest and the highest lie within 255 of each other, 0 between them. As in bfloat16_screen.py,

    |w h - w' h'|  <=  |dh| |w| + |h'| |dw|,    w' h' = s t (sum of m k), a whole number but for s t,

and p = w h + b is above its threshold only if, after division by s t, the sum of m k and the rest is above zero. Scales
have eight bits, so that s m and t k are float32 numbers and dh and dw are what was lost, to their own rounding.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..kernels.parallel import Scratch
from ..sae.sae import SparseAutoencoder
from .bfloat16_screen import TOKENS, UNIT, length_of, margins_of, slack_of

STEPS, MIDDLE = 254, 128  # a range's steps; bytes hold -128 to 127
SMALLEST = 2.0**-40  # scale: what is smaller is lost, and bounded as lost
BLOCK_BYTES = 8 << 20  # of the product held at a time, in int32
UP = 1 + 2.0**-18  # above the rounding of a few float32 operations
WIDEST = 1 << 16  # sums of so many bytes are exact in float32, of their products in int32


class Int8Screen:
    """The whole-number copy of an encoder's weights with what bounds its errors. On a CPU."""

    def __init__(self, sae: SparseAutoencoder, mean: Tensor):
        """`mean` [d_in] is taken off every activation; any value is right, one near theirs lets fewer through."""
        self.d_in, self.d_sae, self.mean = sae.config.d_in, sae.config.d_sae, mean
        self.slack = slack_of(self.d_in)
        self.rounding = 8 * UNIT * 2**16 * self.d_in  # of a few float32 operations with sums so large
        self.rows = torch.empty(self.d_sae, self.d_in, dtype=torch.int8)
        self.own = torch.empty(self.d_sae, 5)
        self._products, self._found = Scratch(), Scratch()
        for start in range(0, self.d_sae, 4096):
            self._fill(sae, slice(start, start + 4096))

    def _fill(self, sae: SparseAutoencoder, part: slice) -> None:
        rows, length, bias, size = margins_of(sae, self.mean, part)
        low = _Bytes.of(rows)
        self.rows[part] = low.bytes
        bias = bias + self.slack * size
        self.own[part] = torch.stack(
            [low.total, low.middle, bias / low.scale, low.lost * UP, length / low.scale * UP], 1
        )  # fmt: skip

    def candidates(self, hook: Tensor) -> Tensor:
        """Every entry that can be active, and some that are not: feature * tokens + token, ascending. [n] int64

        hook [tokens, d_in] float32.
        """
        from ..kernels.numba.screened import possible

        low, own = self._lowered(hook)
        parts, step = [], max(1, BLOCK_BYTES // (4 * len(hook)))
        for start in range(0, self.d_sae, step):
            rows = self.rows[start : start + step]
            shape = len(rows), len(hook)
            products = torch._int_mm(rows, low.t(), out=self._products.of(shape, torch.empty(0, dtype=torch.int32)))
            found = self._found.of((products.numel(),), torch.empty(0, dtype=torch.int64))
            arrays = products.numpy(), self.own[start : start + step].numpy(), own
            count = possible(*arrays, self.rounding, start, found.numpy())
            parts.append(found[:count].clone())
        return torch.cat(parts)

    def _lowered(self, hook: Tensor):
        """The tokens in bytes [tokens, d_in], and what belongs to each beside the features' own numbers [5, tokens]."""
        bytes, own = torch.empty(hook.shape, dtype=torch.int8), torch.empty(5, len(hook))
        for start in range(0, len(hook), TOKENS):
            part = slice(start, start + TOKENS)
            h = hook[part] - self.mean
            low = _Bytes.of(h)
            bytes[part] = low.bytes
            lost = low.lost + self.slack * length_of(h) / low.scale
            sums = low.total - self.d_in * low.middle  # of the bytes
            own[:, part] = torch.stack([low.middle, sums, 1 / low.scale, low.length * UP, lost * UP])
        return bytes, own.numpy()


@dataclass(frozen=True)
class _Bytes:
    """Rows [n, width] as (bytes + middle) * scale, with what that is and what is lost, in units of the scale."""

    bytes: Tensor  # [n, width] int8
    middle: Tensor  # [n] a whole number
    total: Tensor  # [n] sum of bytes + middle
    scale: Tensor  # [n]
    length: Tensor  # [n] not less than that of what is kept
    lost: Tensor  # [n] not less than the length of what is not

    @classmethod
    def of(cls, rows: Tensor) -> "_Bytes":
        lowest, highest = rows.amin(1).clamp_max_(0), rows.amax(1).clamp_min_(0)
        scale = ((highest - lowest) / STEPS * (1 + 2.0**-7)).bfloat16().float().clamp_min_(SMALLEST)
        whole = (rows / scale[:, None]).round_()
        middle = (lowest / scale).round_() + MIDDLE
        kept = whole * scale[:, None]
        lost, length, total = length_of(rows - kept) / scale, length_of(whole), whole.sum(1)
        return cls(whole.sub_(middle[:, None]).to(torch.int8), middle, total, scale, length, lost)
