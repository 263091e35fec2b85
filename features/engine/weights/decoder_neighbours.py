"""Which features have the most similar decoder rows? Exact cosines, most of them ruled out in half the precision.

Safe screening, as in encoder/bfloat16_screen.py: a product of unit rows a and b in bfloat16 is off by at most

    |da| |b| + |a'| |db| + n u  <=  2 lost (1 + lost) + 4 n u,

da and db what rounding took from the rows, `lost` the most of any row, n u from rounded sums; and by the rounding of
the result. Whatever lies further below the tenth highest than twice that is no neighbour.
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
MANY = 0.1  # share of all pairs from which computing all of them is faster


class DecoderRows:
    """Decoder rows [d_sae, d_in], compared as if of length one; a copy of them all in float32 would be large."""

    def __init__(self, W_dec: Tensor):
        self.W, self.lengths = W_dec, W_dec.norm(dim=1).clamp_min(SHORTEST)
        self._scratch = Scratch()
        # Screened or not is chosen here: without a bfloat16 copy all cosines are computed.
        self.rounded = torch.empty_like(W_dec, dtype=torch.bfloat16) if bfloat16_pays(W_dec.device) else None
        if self.rounded is not None:
            sum_in_float32(W_dec.device)
            lost = max(self._round(slice(start, start + ROWS)) for start in range(0, len(W_dec), ROWS))
            self.bound = 2 * lost * (1 + lost) + 4 * W_dec.shape[1] * UNIT

    def _round(self, part: slice) -> float:
        """Fills in some rows in half the precision; returns the most that one lost, as a length."""
        rows = self.unit(part)
        self.rounded[part] = rows
        return float((rows - self.rounded[part].float()).norm(dim=1).max())

    def unit(self, features) -> Tensor:
        """Rows of length one. [n, d_in]"""
        return self.W[features] / self.lengths[features, None]

    def neighbours(self, features: np.ndarray) -> list[Neighbours]:
        """Of each of `features` [n]. Same as reference.decoder_neighbours: float32 rounding."""
        features = torch.from_numpy(features).to(self.W.device)
        count = min(NEIGHBOURS, len(self.W) - 1)
        screened = self._screened(features, count) if self.rounded is not None else None
        cosines, columns = self._all(features) if screened is None else screened
        values, chosen = blocked_topk(cosines, count)  # [n, count] each
        indices = columns.expand(len(features), -1).gather(1, chosen).int().cpu().numpy()
        return [Neighbours(*row) for row in zip(indices, values.cpu().numpy(), strict=True)]

    def _all(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines of some rows with all others [n, d_sae], -inf with themselves, and whose they are [1, d_sae]."""
        out = self._scratch.buffer((len(features), len(self.W)), self.W)
        cosines = torch.mm(self.unit(features), self.W.t(), out=out)
        cosines.div_(self.lengths).scatter_(1, features[:, None], -torch.inf)
        return cosines, torch.arange(len(self.W), device=features.device)[None]

    def _screened(self, features: Tensor, count: int) -> tuple[Tensor, Tensor] | None:
        """The same for those that can be among the `count` highest, padded with -inf. [n, m] each; None where that
        would be too many."""
        rough = (self.rounded[features] @ self.rounded.t()).float().scatter_(1, features[:, None], -torch.inf)
        # The rough count-th highest may be `bound` too high and a true neighbour's `bound` too low; both were rounded.
        least = blocked_topk(rough, count)[0][:, -1:]
        least = least - 2 * self.bound - (least.abs() + 2 * self.bound) / 128  # a result is off by 1/512 of itself
        row, column = (rough >= least).nonzero(as_tuple=True)  # [e] each
        if len(row) > MANY * rough.numel():
            return None
        counts = row.bincount(minlength=len(features))
        offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])  # [n + 1]
        # Sampled dense-dense product: exact cosines of the candidates alone.
        pattern = csr_matrix(offsets, column, rough.new_zeros(len(column)), tuple(rough.shape))
        exact = torch.sparse.sampled_addmm(pattern, self.unit(features), self.W.t()).values() / self.lengths[column]
        # From CSR to padded rows: entry e is its row's number e - offsets[row].
        slot = torch.arange(len(row), device=features.device) - offsets[row]
        cosines = rough.new_full((len(features), int(counts.max())), -torch.inf)
        columns = torch.full_like(cosines, -1, dtype=torch.long)
        cosines[row, slot], columns[row, slot] = exact, column
        return cosines, columns
