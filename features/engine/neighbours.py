"""Which features have the most similar decoder rows? Exact cosines, most of them ruled out in half the precision.

A product of unit rows in bfloat16 is off by at most |da| + |db| + n u, da and db what rounding took from the rows, and
by the rounding of the result. Whatever lies further below the tenth highest than twice that is no neighbour.
"""

import numpy as np
import torch
from torch import Tensor

from .encoding import low_is_faster
from .results import Neighbours
from .screen import UNIT
from .sparse import matrix

NEIGHBOURS = 10
MANY = 0.1  # share of all pairs from which computing all of them is quicker


class DecoderRows:
    """Decoder rows of length one, [d_sae, d_in]."""

    def __init__(self, W_dec: Tensor):
        self.rows = torch.nn.functional.normalize(W_dec, dim=1)
        self.low = self.rows.bfloat16() if low_is_faster(W_dec.device) else None
        if self.low is not None:
            parts = zip(self.rows.split(4096), self.low.split(4096), strict=True)
            lost = max(float((row - low.float()).norm(dim=1).max()) for row, low in parts)
            self.off = 2 * lost * (1 + lost) + 4 * self.rows.shape[1] * UNIT

    def neighbours(self, features: np.ndarray) -> list[Neighbours]:
        """Of each of `features` [n]."""
        count = min(NEIGHBOURS, len(self.rows) - 1)
        own = torch.arange(len(features), device=self.rows.device)
        cosines = self._screened(features, count) if self.low is not None else self._all(features)
        cosines[own, self._places(features)] = -torch.inf
        top = cosines.topk(count)
        indices, values = top.indices.int().cpu().numpy(), top.values.cpu().numpy()
        return [Neighbours(*row) for row in zip(indices, values, strict=True)]

    def _all(self, features: np.ndarray) -> Tensor:
        return self.rows[self._places(features)] @ self.rows.t()

    def _screened(self, features: np.ndarray, count: int) -> Tensor:
        """Cosines of those that can be among the `count` highest beside a feature itself; -inf for the others."""
        places = self._places(features)
        rough = (self.low[places] @ self.low.t()).float()
        least = rough.topk(count + 1).values[:, -1:]
        least = least - 2 * self.off - (least.abs() + 2 * self.off) / 128  # a result is off by 1/512 of itself
        able = rough >= least
        if float(able.sum()) > MANY * able.numel():
            return self._all(features)
        columns = able.nonzero()[:, 1]
        starts = torch.cat([columns.new_zeros(1), able.sum(1).cumsum(0)])
        pattern = matrix(starts, columns, rough.new_zeros(len(columns)), tuple(able.shape))
        exact = torch.sparse.sampled_addmm(pattern, self.rows[places], self.rows.t())
        rough.fill_(-torch.inf)[able] = exact.values()
        return rough

    def _places(self, features: np.ndarray) -> Tensor:
        return torch.from_numpy(features).to(self.rows.device)
