"""What the sparse autoencoder computes, and its gradient at the cost of the few features that fire.

    a = x W_enc + b_enc,  f = a where a > threshold, else 0,  x^ = f W_dec + b_dec

Training is BatchTopK (Bussmann et al., "BatchTopK sparse autoencoders", 2024): the threshold is the value
that lets
k features a token through, on average over a batch; its running mean is the threshold of the finished
JumpReLU.
Unlike an L1 penalty it does not shrink what it keeps. Only the encoder is a dense product; the rest is
sparse.
"""

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

Weights = dict[str, Tensor]
warnings.filterwarnings(
    "ignore", message="Sparse CSR tensor support"
)  # "beta"; the tests hold it to autograd
SAMPLED = 16  # every so many tokens decide the threshold of a batch


def initial(d_in: int, d_sae: int, centre: Tensor, seed: int = 0) -> Weights:
    """Random unit decoder rows, the encoder their transpose, reading x - centre."""
    rows = torch.randn(d_sae, d_in, generator=torch.Generator().manual_seed(seed))
    rows = (rows / rows.norm(dim=1, keepdim=True)).to(centre.device)
    return {"W_enc": rows.T.contiguous(), "b_enc": -(rows @ centre), "W_dec": rows, "b_dec": centre.clone()}


def cutoff(a: Tensor, k: float) -> Tensor:
    """The value above which lie k activations a token, never below 0; from every 16th token."""
    sample = a[::SAMPLED].float().flatten()
    place = max(1, sample.numel() - round(k * len(a[::SAMPLED])))
    return sample.kthvalue(place).values.clamp_min(0)


def firing(a: Tensor, threshold: Tensor) -> Tensor:
    """Activations above the threshold as a sparse matrix: [tokens, d_sae], compressed by token, float32."""
    rows, columns = (a > threshold).nonzero(as_tuple=True)
    starts = torch.searchsorted(rows, torch.arange(len(a) + 1, device=a.device))
    return torch.sparse_csr_tensor(starts, columns, a[rows, columns].float(), a.shape, check_invariants=False)


def like(pattern: Tensor, values: Tensor) -> Tensor:
    return torch.sparse_csr_tensor(
        pattern.crow_indices(), pattern.col_indices(), values, pattern.shape, check_invariants=False
    )


@dataclass
class Objective:
    """Share of the variance left unexplained: of the neurons, and of what they say through the output map.

    loss = own * |e|^2 / variance + (1 - own) * |e K|^2 / output_variance, a mean over tokens, with e = x^ - x
    """

    K: Tensor  # [d_in, d_model]
    variance: float
    output_variance: float
    own: float = 0.5
    low: torch.dtype = torch.bfloat16  # of the products with K

    def __call__(self, e: Tensor) -> tuple[float, float, Tensor]:
        """Both shares, and the gradient of the loss with respect to the reconstruction: [tokens, d_in]."""
        low, n = self.low, len(e)
        out = e.to(low) @ self.K.to(low)
        own, said = (
            e.square().sum() / n / self.variance,
            out.float().square().sum() / n / self.output_variance,
        )
        g = e * (2 * self.own / n / self.variance)
        g += (out @ self.K.to(low).T).float() * (2 * (1 - self.own) / n / self.output_variance)
        return float(own), float(said), g


@dataclass
class Step:
    """What one part of a batch says: figures, and the gradients by name."""

    own: float
    said: float
    threshold: float
    fired: Tensor  # [d_sae] how many tokens each feature fired on
    gradients: dict[str, Tensor]


def gradients(
    w: Weights, x: Tensor, k: float, objective: Objective, asleep: Tensor, low=torch.bfloat16
) -> Step:
    """One part of a batch, x [tokens, d_in] float32. `asleep` numbers the features that have long been
    silent.
    """
    a = torch.addmm(w["b_enc"].to(low), x.to(low), w["W_enc"].to(low))
    threshold = cutoff(a, k)
    f = firing(a, threshold)
    e = f @ w["W_dec"] + w["b_dec"] - x
    own, said, g = objective(e)
    d_f = torch.sparse.sampled_addmm(like(f, torch.zeros_like(f.values())), g, w["W_dec"].T)
    d_f_T, f_T = d_f.t().to_sparse_csr(), f.t().to_sparse_csr()
    grads = {
        "W_enc": (d_f_T @ x).T.contiguous(),
        "b_enc": (d_f_T @ x.new_ones(len(x), 1))[:, 0],
        "W_dec": f_T @ g,
        "b_dec": g.sum(0),
    }
    if len(asleep):
        wake(w, x, a[:, asleep].float(), e, asleep, grads)
    fired = torch.bincount(f.col_indices(), minlength=a.shape[1])
    return Step(own, said, float(threshold), fired, grads)


def wake(w, x, a, e, asleep, grads, aid: float = 1 / 32, most: int = 64) -> None:
    """Adds the auxiliary loss of Gao et al. (2024): silent features learn to rebuild what the others left,
    -e.

    Their `most` highest activations a token take part; the loss is `aid` * |e + f W_dec|^2 / variance.
    """
    best = a.topk(min(most, a.shape[1]), dim=1)
    f = torch.zeros_like(a).scatter_(1, best.indices, best.values.clamp_min(0))
    rows = w["W_dec"][asleep]
    left = (f @ rows + e) * (aid * 2 / len(x) / float(e.square().sum(1).mean()))
    d_f = (left @ rows.T) * (f > 0)
    grads["W_enc"][:, asleep] += x.T @ d_f
    grads["b_enc"][asleep] += d_f.sum(0)
    grads["W_dec"][asleep] += f.T @ left
