"""What does the SAE compute in training, and its gradient at the cost of the few features that fire?

    p = x W_enc + b_enc,  f = p where p > threshold, else 0,  x' = f W_dec + b_dec

BatchTopK (Bussmann et al., "BatchTopK sparse autoencoders", 2024). It differs from the engine's JumpReLU
(engine/sae/sae.py) in one thing: the threshold is not a weight but the value that lets k features a token through, on
average over the batch. Given that threshold both are equal, by a test. Unlike an L1 penalty it does not shrink what it
keeps. Only the encoder is a dense product; the rest is sparse.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from features.engine.kernels.sparse import csr_matrix, csr_offsets

from .inputs import Weights
from .objective import Objective

SAMPLED = 17  # every so many tokens decide the threshold of a batch; of all positions in a row, unlike 16


@dataclass(frozen=True)
class Forward:
    """What the SAE makes of inputs x [tokens, d_in]."""

    x: Tensor
    p: Tensor  # [tokens, d_sae], in the dtype of the encoder's product, and of the dense ones of its gradients
    threshold: Tensor  # []
    f: Tensor  # [tokens, d_sae] float32, sparse, compressed by token
    e: Tensor  # [tokens, d_in], x' - x


@dataclass
class GradientStep:
    """What one part of a batch says: figures, and the gradients by the weights' names."""

    neuron_error: float  # share of the variance
    effect_error: float
    threshold: float
    fired: Tensor  # [d_sae] int64, how many tokens each feature fired on
    gradients: dict[str, Tensor]

    @classmethod
    def mean(cls, parts: list["GradientStep"]) -> "GradientStep":
        """Of equal parts of a batch, added up in order; the first one's gradients are overwritten."""
        gradients, n = parts[0].gradients, len(parts)
        for other in parts[1:]:
            for name, value in other.gradients.items():
                gradients[name] += value
        for value in gradients.values():
            value /= n
        names = ("neuron_error", "effect_error", "threshold")
        figures = (sum(getattr(part, name) for part in parts) / n for name in names)
        return cls(*figures, sum(part.fired for part in parts), gradients)


def batch_threshold(p: Tensor, k: float) -> Tensor:
    """The value above which lie k pre-activations a token, never below 0; from every 17th token. p [tokens, d_sae]"""
    sample = p[::SAMPLED].float().flatten()
    rank = max(1, sample.numel() - round(k * len(p[::SAMPLED])))
    return sample.kthvalue(rank).values.clamp_min(0)


def forward(w: Weights, x: Tensor, k: float, dtype: torch.dtype) -> Forward:
    """x [tokens, d_in] float32; the encoder's product is taken in `dtype`."""
    p = torch.addmm(w["b_enc"].to(dtype), x.to(dtype), w["W_enc"].to(dtype))
    threshold = batch_threshold(p, k)
    tokens, features = (p > threshold).nonzero(as_tuple=True)
    f = csr_matrix(csr_offsets(tokens, len(p)), features, p[tokens, features].float(), p.shape)
    return Forward(x, p, threshold, f, f @ w["W_dec"] + w["b_dec"] - x)


def backward(w: Weights, forward: Forward, objective: Objective) -> GradientStep:
    """Figures and gradients of the objective; the threshold is taken as constant."""
    x, f = forward.x, forward.f
    neuron_error, effect_error, g = objective(forward.e, forward.p.dtype)  # g [tokens, d_in]
    no_values = csr_matrix(f.crow_indices(), f.col_indices(), torch.zeros_like(f.values()), f.shape)
    # Only where f is active has it a gradient: g W_dec' sampled there.
    d_f = torch.sparse.sampled_addmm(no_values, g, w["W_dec"].T)
    d_f_T, f_T = d_f.t().to_sparse_csr(), f.t().to_sparse_csr()  # [d_sae, tokens]
    gradients = {
        "W_enc": (d_f_T @ x).T.contiguous(),
        "b_enc": (d_f_T @ x.new_ones(len(x), 1))[:, 0],
        "W_dec": f_T @ g,
        "b_dec": g.sum(0),
    }
    fired = torch.bincount(f.col_indices(), minlength=f.shape[1])
    return GradientStep(neuron_error, effect_error, float(forward.threshold), fired, gradients)
