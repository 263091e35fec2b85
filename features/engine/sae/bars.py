"""What does a pre-activation have to exceed for its feature to be active?"""

import torch
from torch import Tensor

from .sae import SparseAutoencoder


def against_threshold(sae: SparseAutoencoder, h: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
    """Pre-activations of some features, and what each has to exceed: 0 or its own threshold; where the activation
    chooses, the least of those that were chosen on the token, 0 at least where it ends in a ReLU. Both are sizes for
    abstopk. h [tokens, d_in], [n] -> [tokens, n] twice. Same as reference_questions.bar: float32 rounding."""
    kind, k = sae.config.activation, sae.config.k
    if kind in ("topk", "signed_topk", "abstopk", "groupmax"):
        p = sae.pre_activations(h)  # [tokens, d_sae]
        p = p.abs() if kind == "abstopk" else p
        if kind == "groupmax":
            # A group is d_sae / k features next to one another.
            floor = p.unflatten(-1, (k, -1)).amax(-1)[:, features // (p.shape[1] // k)]  # [tokens, n]
        else:
            # The least of the k largest: what a feature has to exceed to be among those that are chosen.
            floor = p.topk(k, dim=-1).values[:, -1:].expand(-1, len(features))  # [tokens, n]
        return p[:, features], floor if kind in ("signed_topk", "abstopk") else floor.clamp_min(0)
    p = sae.pre_activations(h, features)
    floor = sae.floor[features] if kind == "jumprelu" else torch.zeros_like(p[0])
    return p, floor.expand_as(p)
