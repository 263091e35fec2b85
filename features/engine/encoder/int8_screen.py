"""The screen's question by a product of bytes: which entries of the encoder's product can be active?

Processors with instructions for it multiply bytes up to five times as fast as float32, and exactly. Each activation h
(its mean taken off) and each feature's weights w become whole numbers times a scale (affine quantisation, Jacob et al.,
2018), h' = s m and w' = t k, m and k numbers of which the lowest and the highest lie within 255 of each other, 0
between them. As in bfloat16_screen.py,

    |w h - w' h'|  <=  |dh| |w| + |h'| |dw|,    w' h' = s t (sum of m k), a whole number but for s t,

and p = w h + b is above its threshold only if, after division by s t, the sum of m k and the rest is above zero. Scales
have eight bits, so that s m and t k are float32 numbers and dh and dw are what was lost, to their own rounding.

A byte holds m - c, c the whole number in the middle of the row's range (the zero point), so that the sum of m k is

    sum of (m - c_h)(k - c_w)  +  c_h sum of k  +  c_w sum of (m - c_h).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..kernels.parallel import Scratch
from ..sae.sae import SparseAutoencoder
from .bfloat16_screen import FEATURES, TOKENS, UNIT, length_of, margins_of, slack_of

STEPS, MIDDLE = 254, 128  # a range's steps; bytes hold -128 to 127
SMALLEST = 2.0**-40  # scale: what is smaller is lost, and bounded as lost
BLOCK_BYTES = 8 << 20  # of the product held at a time, in int32
UP = 1 + 2.0**-18  # above the rounding of a few float32 operations, each off by 2**-24 of itself
WIDEST = 1 << 16  # sums of so many bytes are exact in float32, of their products in int32
TERMS = 5  # numbers of a feature, each times one of a token, that make the bound of the product of bytes


class Int8Screen:
    """The whole-number copy of an encoder's weights with what bounds its errors. On a CPU."""

    def __init__(self, sae: SparseAutoencoder, mean: Tensor):
        """`mean` [d_in] is taken off every activation; any value is right, one near theirs lets fewer through."""
        self.d_in, self.d_sae, self.mean = sae.config.d_in, sae.config.d_sae, mean
        self.slack = slack_of(self.d_in)
        # Sums of d_in products below 2**16, and a few float32 operations with them, each off by u of its result.
        self.rounding = 8 * UNIT * 2**16 * self.d_in
        self.rows = torch.empty(self.d_sae, self.d_in, dtype=torch.int8)
        self.feature_terms = torch.empty(self.d_sae, TERMS)
        self._product_scratch, self._candidate_scratch = Scratch(), Scratch()
        for start in range(0, self.d_sae, FEATURES):
            self._fill_rows(sae, slice(start, start + FEATURES))

    def _fill_rows(self, sae: SparseAutoencoder, features: slice) -> None:
        rows, length, bias, size = margins_of(sae, self.mean, features)
        quantised = _QuantisedRows.of(rows)
        self.rows[features] = quantised.bytes
        # All in units of t: sum of k, c_w, b - threshold with its rounding, |dw|, |w|. Each times the token's term.
        bias = bias + self.slack * size
        self.feature_terms[features] = torch.stack(
            [
                quantised.total, quantised.zero_point, bias / quantised.scale, quantised.lost * UP,
                length / quantised.scale * UP,
            ],
            1,
        )  # fmt: skip

    def candidates(self, hook: Tensor) -> Tensor:
        """Every entry that can be active, and some that are not: feature * tokens + token, ascending. [n] int64

        hook [tokens, d_in] float32.
        """
        from ..kernels.numba.screened import find_candidates

        bytes, token_terms = self._quantise_tokens(hook)
        parts, step = [], max(1, BLOCK_BYTES // (4 * len(hook)))
        for start in range(0, self.d_sae, step):
            rows = self.rows[start : start + step]
            out = self._product_scratch.buffer((len(rows), len(hook)), torch.empty(0, dtype=torch.int32))
            products = torch._int_mm(rows, bytes.t(), out=out)  # [features, tokens] int32
            candidates = self._candidate_scratch.buffer((products.numel(),), torch.empty(0, dtype=torch.int64))
            count = find_candidates(
                products.numpy(), self.feature_terms[start : start + step].numpy(), token_terms,
                self.rounding, start, candidates.numpy(),
            )  # fmt: skip
            # A copy of what was found: the next block overwrites the buffer.
            parts.append(candidates[:count].clone())
        return torch.cat(parts)

    def _quantise_tokens(self, hook: Tensor):
        """The tokens in bytes [tokens, d_in], and what belongs to each beside the features' terms [TERMS, tokens]."""
        bytes, terms = torch.empty(hook.shape, dtype=torch.int8), torch.empty(TERMS, len(hook))
        for start in range(0, len(hook), TOKENS):
            part = slice(start, start + TOKENS)
            h = hook[part] - self.mean
            quantised = _QuantisedRows.of(h)
            bytes[part] = quantised.bytes
            # All in units of s: c_h, sum of m - c_h, 1, |h'|, and |dh| + 4 n u |h|.
            lost = quantised.lost + self.slack * length_of(h) / quantised.scale
            byte_sum = quantised.total - self.d_in * quantised.zero_point
            terms[:, part] = torch.stack(
                [quantised.zero_point, byte_sum, 1 / quantised.scale, quantised.length * UP, lost * UP]
            )
        return bytes, terms.numpy()


@dataclass(frozen=True)
class _QuantisedRows:
    """Rows [n, width] as (bytes + zero_point) * scale, with what that is and what is lost, in units of the scale."""

    bytes: Tensor  # [n, width] int8
    zero_point: Tensor  # [n] a whole number
    total: Tensor  # [n] sum of bytes + zero_point
    scale: Tensor  # [n]
    length: Tensor  # [n] not less than that of what is kept
    lost: Tensor  # [n] not less than the length of what is not

    @classmethod
    def of(cls, rows: Tensor) -> "_QuantisedRows":
        lowest, highest = rows.amin(1).clamp_max_(0), rows.amax(1).clamp_min_(0)
        # Rounding the scale to bfloat16 may take 2**-8 of it: the factor keeps the range within STEPS steps.
        scale = ((highest - lowest) / STEPS * (1 + 2.0**-7)).bfloat16().float().clamp_min_(SMALLEST)
        whole = (rows / scale[:, None]).round_()  # m or k, [n, width]
        zero_point = (lowest / scale).round_() + MIDDLE
        kept = whole * scale[:, None]
        lost, length, total = length_of(rows - kept) / scale, length_of(whole), whole.sum(1)
        return cls(whole.sub_(zero_point[:, None]).to(torch.int8), zero_point, total, scale, length, lost)
