"""What does the SAE see of the neurons in training, and how is that folded into the weights that are exported?"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from features.engine.sae.sae import SAEConfig, SparseAutoencoder

HOOK = "blocks.0.mlp.hook_post"  # where the demo's SAE reads
Weights = dict[str, Tensor]  # W_enc [d_in, d_sae], b_enc [d_sae], W_dec [d_sae, d_in], b_dec [d_in]


@dataclass(frozen=True)
class InputScaling:
    """x = scale * (h - centre): neurons less their mean, at a mean length of sqrt(d_in).

    Nine of ten entries of h have the same sign on every token (GELU's tail). Adam moves a feature that has seen few
    gradients by the signs of its inputs: without centring all such features drift along one and the same direction,
    minus the mean, until they fire together on the few tokens that lie there.
    """

    scale: float
    centre: Tensor  # [d_in]

    @classmethod
    def of(cls, h: Tensor, centred: bool = True) -> "InputScaling":
        """For neurons like these. [tokens, d_in]"""
        centre = h.mean(0) if centred else torch.zeros_like(h[0])
        return cls(math.sqrt(h.shape[1]) / float((h - centre).norm(dim=1).mean()), centre)

    def __call__(self, h: Tensor) -> Tensor:
        return (h - self.centre) * self.scale

    def folded(self, w: Weights, threshold: float) -> SparseAutoencoder:
        """Of weights for x the SAE for h, matrices as they are: f / scale in place of f, so that biases and threshold
        are divided by the scale; the centre goes into the biases.

        s (h - c) W_enc + b_enc = s (h W_enc + b_enc / s - c W_enc)
        """
        s, c = self.scale, self.centre
        at_centre = (c.double() @ w["W_enc"].double()).to(c.dtype)  # [d_sae]
        return jumprelu(
            {**w, "b_enc": w["b_enc"] / s - at_centre, "b_dec": w["b_dec"] / s + c},
            torch.full_like(w["b_enc"], threshold / s),
        )


def jumprelu(w: Weights, threshold: Tensor) -> SparseAutoencoder:
    """The engine's SAE of these weights and thresholds [d_sae]: the formula that training approaches."""
    d_in, d_sae = w["W_enc"].shape
    config = SAEConfig(d_in, d_sae, activation="jumprelu", hook_point=HOOK, prepend_bos=True)
    return SparseAutoencoder(config, **w, threshold=threshold)
