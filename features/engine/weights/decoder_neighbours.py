"""Which features have the most similar decoder rows? Exact cosines, most of them ruled out in half the precision.

A product of unit rows in bfloat16 is off by at most |da| + |db| + n u, da and db what rounding took from the rows, and
by the rounding of the result. Whatever lies further below the tenth highest than twice that is no neighbour.
"""

import numpy as np
import torch
from torch import Tensor

from ..encoder.autotune import bfloat16_pays
from ..encoder.bfloat16_screen import UNIT, sum_in_float32
from ..kernels.blocked_topk import blocked_topk
from ..kernels.parallel import Scratch
from ..kernels.sparse import csr_matrix
from ..results import Neighbours

NEIGHBOURS = 10
ROWS = 4096  # brought to length one at a time
SHORTEST = 1e-12  # length that a row of zeros is given
MANY = 0.1  # share of all pairs from which computing all of them is quicker


class DecoderRows:
    """Decoder rows [d_sae, d_in], compared as if of length one; a copy of them all in float32 would be large."""

    def __init__(self, W_dec: Tensor):
        self.W, self.lengths = W_dec, W_dec.norm(dim=1).clamp_min(SHORTEST)
        self._scratch = Scratch()
        self.low = torch.empty_like(W_dec, dtype=torch.bfloat16) if bfloat16_pays(W_dec.device) else None
        if self.low is not None:
            sum_in_float32(W_dec.device)
            lost = max(self._lower(slice(start, start + ROWS)) for start in range(0, len(W_dec), ROWS))
            self.off = 2 * lost * (1 + lost) + 4 * W_dec.shape[1] * UNIT

    def _lower(self, part: slice) -> float:
        """Fills in some rows in half the precision; the most that one lost."""
        rows = self.unit(part)
        self.low[part] = rows
        return float((rows - self.low[part].float()).norm(dim=1).max())

    def unit(self, which) -> Tensor:
        """Rows of length one."""
        return self.W[which] / self.lengths[which, None]

    def neighbours(self, features: np.ndarray) -> list[Neighbours]:
        """Of each of `features` [n]. Same as reference.decoder_neighbours: float32 rounding."""
        own = torch.from_numpy(features).to(self.W.device)
        count = min(NEIGHBOURS, len(self.W) - 1)
        found = self._screened(own, count) if self.low is not None else None
        cosines, places = self._all(own) if found is None else found
        values, at = blocked_topk(cosines, count)
        indices = places.expand(len(own), -1).gather(1, at).int().cpu().numpy()
        return [Neighbours(*row) for row in zip(indices, values.cpu().numpy(), strict=True)]

    def _all(self, own: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines of some rows with all others [n, d_sae], -inf with themselves, and whose they are [1, d_sae]."""
        cosines = torch.mm(self.unit(own), self.W.t(), out=self._scratch.buffer((len(own), len(self.W)), self.W))
        cosines.div_(self.lengths).scatter_(1, own[:, None], -torch.inf)
        return cosines, torch.arange(len(self.W), device=own.device)[None]

    def _screened(self, own: Tensor, count: int) -> tuple[Tensor, Tensor] | None:
        """The same for those that can be among the `count` highest, and -inf behind them. [n, m] each; None where that
        would be too many."""
        rough = (self.low[own] @ self.low.t()).float().scatter_(1, own[:, None], -torch.inf)
        least = blocked_topk(rough, count)[0][:, -1:]
        least = least - 2 * self.off - (least.abs() + 2 * self.off) / 128  # a result is off by 1/512 of itself
        row, column = (rough >= least).nonzero(as_tuple=True)
        if len(row) > MANY * rough.numel():
            return None
        counts = row.bincount(minlength=len(own))
        starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        pattern = csr_matrix(starts, column, rough.new_zeros(len(column)), tuple(rough.shape))
        exact = torch.sparse.sampled_addmm(pattern, self.unit(own), self.W.t()).values() / self.lengths[column]
        at = torch.arange(len(row), device=own.device) - starts[row]
        cosines = rough.new_full((len(own), int(counts.max())), -torch.inf)
        places = torch.full_like(cosines, -1, dtype=torch.long)
        cosines[row, at], places[row, at] = exact, column
        return cosines, places
