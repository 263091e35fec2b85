"""How much of the variance lies where models have outsized activations, and how well is the rest explained?

The first token of a text and a few others carry activations some hundred times longer than the rest (Sun et al.,
"Massive activations in large language models", 2024): one figure over all tokens may speak of them alone.
"""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from .sae.sae import SparseAutoencoder

LONGEST = 0.001  # share of tokens whose activations count as outliers
TOKENS_AT_ONCE = 64  # features are dense here: d_sae numbers a token


@dataclass(frozen=True)
class VarianceShares:
    """Shares of sum |h - mean h|^2, and explained variance of the tokens that are in neither."""

    first: float  # at the first counted position of each row
    outliers: float  # in the longest LONGEST of activations, at least one
    explained_without: float  # NaN where nothing is left, or it does not vary


def first_counted(counted: np.ndarray) -> np.ndarray:
    """Of each row the first position that is counted: behind BOS a row may go on with another special token, as rows
    are cut anywhere. [n, length] bool twice"""
    return counted & (counted.cumsum(1) == 1)


def variance_shares(
    sae: SparseAutoencoder, h: Tensor, is_first: Tensor, rebuilt: Tensor | None = None
) -> VarianceShares:
    """Of activations h [tokens, d_in]; is_first [tokens] bool; `rebuilt` h' where it is known.

    Same as reference.variance_shares: float32 rounding of h'. NaN where there is no token.
    """
    if not len(h):
        return VarianceShares(float("nan"), float("nan"), float("nan"))
    error = h.new_zeros(len(h)).double()
    for start in range(0, len(h), TOKENS_AT_ONCE):
        part = h[start : start + TOKENS_AT_ONCE]
        again = sae.decode(sae.encode(part), part) if rebuilt is None else rebuilt[start : start + TOKENS_AT_ONCE]
        difference = part.double() - again.double()
        error[start : start + TOKENS_AT_ONCE] = difference.square().sum(-1)
    h = h.double()
    squares = (h - h.mean(0)).square().sum(-1)  # [tokens]
    is_outlier = is_first.new_zeros(len(h))
    is_outlier[h.norm(dim=-1).topk(max(1, round(LONGEST * len(h)))).indices] = True
    total, rest = float(squares.sum()), ~(is_first | is_outlier)
    around = (h[rest] - h[rest].mean(0)).square().sum() if rest.any() else h.new_zeros(())
    return VarianceShares(
        first=float(squares[is_first].sum()) / total if total else float("nan"),
        outliers=float(squares[is_outlier].sum()) / total if total else float("nan"),
        explained_without=float(1 - error[rest].sum() / around) if float(around) else float("nan"),
    )
