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
    """x = scale * h: neurons scaled to a mean length of sqrt(d_in)."""

    scale: float

    @classmethod
    def of(cls, h: Tensor) -> "InputScaling":
        """For neurons like these. [tokens, d_in]"""
        return cls(math.sqrt(h.shape[1]) / float(h.norm(dim=1).mean()))

    def __call__(self, h: Tensor) -> Tensor:
        return h * self.scale

    def folded(self, w: Weights, threshold: float) -> SparseAutoencoder:
        """Of weights for x the SAE for h, decoder rows as they are: f / scale in place of f, so that biases and
        threshold are divided by the scale."""
        s = self.scale
        return jumprelu(
            {**w, "b_enc": w["b_enc"] / s, "b_dec": w["b_dec"] / s},
            torch.full_like(w["b_enc"], threshold / s),
        )


def jumprelu(w: Weights, threshold: Tensor) -> SparseAutoencoder:
    """The engine's SAE of these weights and thresholds [d_sae]: the formula that training approaches."""
    d_in, d_sae = w["W_enc"].shape
    config = SAEConfig(d_in, d_sae, activation="jumprelu", hook_point=HOOK, prepend_bos=True)
    return SparseAutoencoder(config, **w, threshold=threshold)
