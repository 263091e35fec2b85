"""Which errors of a reconstruction matter? Those of the neurons, and those that move the predictions.

Replacing the neurons h by h + e moves the logits by e C U / s, where C = W_out less its mean over the residual stream,
U = diag(gain of the final norm) W_U and s is the size of the residual stream. For predictions p, a logit error d costs
a divergence of d' F d / 2 to second order, F = diag(p) - p p' (the Fisher information of a softmax: Amari, "Natural
gradient works efficiently in learning", 1998). With the corpus's shares for p this is |e K|^2 up to a factor: 1,024
directions become 384. Training on effects downstream: Braun et al., "Identifying functionally important features with
end-to-end sparse dictionary learning" (2024).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from features.engine.model.unembedding import Unembedding


def output_map(W_out: Tensor, unembedding: Unembedding, shares: Tensor) -> Tensor:
    """K with |e K|^2 = variance, under the token shares, of the logit error that e makes.

    W_out [d_mlp, d_model], shares [d_vocab] float64 -> [d_mlp, d_model] float64
    """
    U = unembedding.U.double()
    centred = U - (U * shares).sum(1, keepdim=True)
    values, vectors = torch.linalg.eigh((centred * shares) @ centred.T)
    root = vectors * values.clamp_min(0).sqrt()  # root @ root.T = covariance of the logits' directions
    return unembedding.centre(W_out).double() @ root


@dataclass
class Objective:
    """Share of the variance left unexplained: of the neurons, and of their effect on the predictions.

    loss = share * |e|^2 / variance + (1 - share) * |e K|^2 / effect_variance, a mean over tokens, with e = h' - h
    """

    K: Tensor  # [d_in, d_model]
    variance: float
    effect_variance: float
    share: float  # of the neurons in the loss

    @classmethod
    def of(cls, K: Tensor, x: Tensor, share: float) -> "Objective":
        """For inputs like these [tokens, d_in]."""
        spread = x - x.mean(0)
        variance, effect_variance = (float(part.square().sum(1).mean()) for part in (spread, spread @ K))
        return cls(K, variance, effect_variance, share)

    def __call__(self, e: Tensor, dtype: torch.dtype) -> tuple[float, float, Tensor]:
        """Both shares for errors [tokens, d_in], and the gradient of the loss with respect to them. [tokens, d_in]

        Products with K are taken in `dtype`.
        """
        K, n = self.K.to(dtype), len(e)
        effect = e.to(dtype) @ K  # [tokens, d_model]
        neuron_error = e.square().sum() / n / self.variance
        effect_error = effect.float().square().sum() / n / self.effect_variance
        g = e * (2 * self.share / n / self.variance)
        g += (effect @ K.T).float() * (2 * (1 - self.share) / n / self.effect_variance)
        return float(neuron_error), float(effect_error), g
