"""Which feature of another dictionary writes most nearly the same direction, and how near would one be by accident?"""

from dataclasses import dataclass

import torch
from torch import Tensor

DIRECTIONS, QUANTILE, AT_ONCE = 2048, 0.99, 256


@dataclass(frozen=True)
class DecoderMatch:
    """The feature of the other dictionary with the highest decoder cosine."""

    feature: int
    cosine: float
    mutual: bool  # whether this feature is the best for that one, too


def unit_rows(W_dec: Tensor) -> Tensor:
    """Decoder rows of length one, zeros as they are. [d_sae, d_in] float32"""
    return torch.nn.functional.normalize(W_dec.float(), dim=1)


def decoder_match(own: Tensor, others: Tensor, feature: int) -> DecoderMatch:
    """Of unit rows [n, d_in] and [m, d_in]. Same as reference.cosine: float32 rounding."""
    cosines = others @ own[feature]  # [m]
    best = int(cosines.argmax())
    return DecoderMatch(best, float(cosines[best]), int((own @ others[best]).argmax()) == feature)


def chance_cosine(others: Tensor) -> float:
    """The QUANTILE of the best cosine of DIRECTIONS random directions that have the covariance of these unit rows
    [m, d_in]: what a feature that has nothing to do with them would find."""
    g = torch.Generator().manual_seed(0)
    best = []
    for _ in range(0, DIRECTIONS, AT_ONCE):
        # Sums of the rows with normal weights have their covariance.
        drawn = unit_rows(torch.randn(AT_ONCE, len(others), generator=g).to(others) @ others)  # [AT_ONCE, d_in]
        best.append((drawn @ others.T).amax(1))
    return float(torch.cat(best).quantile(QUANTILE))
