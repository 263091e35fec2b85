"""Which errors of a reconstruction matter: how far they move the predictions, to second order.

Replacing the neurons h by h + e moves the logits by e W_out C diag(ln_final.w) W_U / s, where C takes off
the mean
and s is the size of the residual stream. For predictions p, a logit error d costs a divergence of d' F d /
2 with
F = diag(p) - p p'. With the corpus's shares for p this is |e K|^2 up to a factor: 1,024 directions become
384.
"""

import torch
from torch import Tensor

from .language_model import Weights


def output_map(w: Weights, shares: Tensor) -> Tensor:
    """K with |e K|^2 = variance, under the token shares, of the logit error that e makes: [d_mlp,
    d_model].
    """
    W_out = w["blocks.0.mlp.W_out"] - w["blocks.0.mlp.W_out"].mean(1, keepdim=True)
    W_U = w["unembed.W_U"].double()
    centred = W_U - (W_U * shares).sum(1, keepdim=True)
    values, vectors = torch.linalg.eigh((centred * shares) @ centred.T)
    root = vectors * values.clamp_min(0).sqrt()  # root @ root.T = covariance of the logits' directions
    return (W_out.double() * w["ln_final.w"].double()) @ root
