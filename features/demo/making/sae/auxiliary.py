"""How do features that no longer fire come back? By learning to rebuild what the others leave: the auxiliary loss AuxK.

Gao et al., "Scaling and evaluating sparse autoencoders" (2024), section 2.4 and appendix A.2.
"""

import torch
from torch import Tensor

from .batch_topk import Forward
from .inputs import Weights

COEFFICIENT = 1 / 32  # of the auxiliary loss, as there
K_AUX = 64  # silent features that take part on a token
HELPED = 512  # silent features helped at once: the help is dense and must stay cheap


def longest_silent(silent: Tensor, after: int) -> Tensor:
    """The HELPED features silent for the longest, of those that have been for more than `after` tokens. [n]

    silent [d_sae]: tokens since each feature fired.
    """
    longest = silent.topk(min(HELPED, len(silent)))
    return longest.indices[longest.values > after]


def add_gradients(gradients: dict[str, Tensor], w: Weights, forward: Forward, features: Tensor) -> None:
    """Adds those of COEFFICIENT * |e + f W_dec|^2 / mean |e|^2, f = max(p, 0) on the K_AUX highest p of `features` [n]
    on each token, else 0. e is taken as constant."""
    if not len(features):
        return
    x, e, dtype = forward.x, forward.e, forward.p.dtype
    p = forward.p[:, features].float()  # [tokens, n]
    best = p.topk(min(K_AUX, p.shape[1]), dim=1)
    f = torch.zeros_like(p).scatter_(1, best.indices, best.values.clamp_min(0)).to(dtype)
    rows = w["W_dec"][features].to(dtype)  # [n, d_in]
    left = (f @ rows).float() + e
    g = (left * (COEFFICIENT * 2 / len(x) / float(e.square().sum(1).mean()))).to(dtype)  # [tokens, d_in]
    d_f = (g @ rows.T) * (f > 0)
    gradients["W_enc"][:, features] += (x.to(dtype).T @ d_f).float()
    gradients["b_enc"][features] += d_f.float().sum(0)
    gradients["W_dec"][features] += (f.T @ g).float()
