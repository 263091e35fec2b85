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
warnings.filterwarnings("ignore", message="Sparse CSR tensor support")  # "beta"; the tests hold it to autograd
SAMPLED = 17  # every so many tokens decide the threshold of a batch; of all places in a row, unlike 16


def initial(x: Tensor, d_sae: int, k: float, seed: int = 0, similar: float = 0.6) -> Weights:
    """Decoder rows are directions in which inputs x [tokens, d_in] lie from their mean, no two much alike.

    Unlike random directions these rebuild something from the first step on. Where x has too few different
    ones the rest are random. The encoder is the transpose, reading x - mean, made so weak that k features a
    token together rebuild the right length: scale = <x - mean, x^ - mean> / |x^ - mean|^2.
    """
    centre = x.mean(0)
    directions = x - centre
    directions = directions / directions.norm(dim=1, keepdim=True).clamp_min(1e-6)
    rows = spread_out(directions, d_sae, similar)
    noise = torch.randn(d_sae - len(rows), x.shape[1], generator=torch.Generator().manual_seed(seed))
    noise = (noise / noise.norm(dim=1, keepdim=True)).to(x.device)
    rows = torch.cat([rows, noise])
    some = x[: SAMPLED * 100] - centre
    a = some @ rows.T
    rebuilt = (a * (a > cutoff(a, k))) @ rows
    scale = (some * rebuilt).sum() / rebuilt.square().sum()
    return {
        "W_enc": rows.T.contiguous() * scale,
        "b_enc": -(rows @ centre) * scale,
        "W_dec": rows,
        "b_dec": centre.clone(),
    }


def spread_out(directions: Tensor, most: int, similar: float, batch: int = 64) -> Tensor:
    """The first `most` directions whose cosine with every one taken before is below `similar`: [n, d]."""
    taken = directions[:0]
    for part in directions.split(batch):
        new = part[(part @ taken.T).amax(1) < similar] if len(taken) else part
        alike = (new @ new.T).tril(-1) >= similar
        taken = torch.cat([taken, new[~alike.any(1)]])
        if len(taken) >= most:
            return taken[:most]
    return taken


def cutoff(a: Tensor, k: float) -> Tensor:
    """The value above which lie k activations a token, never below 0; from every 17th token."""
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


def gradients(w: Weights, x: Tensor, k: float, objective: Objective, asleep: Tensor, low=torch.bfloat16) -> Step:
    """One part of a batch, x [tokens, d_in] float32. `asleep` numbers the silent features to help."""
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
        wake(w, x, a[:, asleep].float(), e, asleep, grads, low)
    fired = torch.bincount(f.col_indices(), minlength=a.shape[1])
    return Step(own, said, float(threshold), fired, grads)


def wake(w, x, a, e, asleep, grads, low, aid: float = 1 / 32, most: int = 64) -> None:
    """Adds the auxiliary loss of Gao et al. (2024): silent features learn to rebuild -e, what the rest left.

    Their `most` highest activations a token take part; the loss is `aid` * |e + f W_dec|^2 / mean |e|^2.
    """
    best = a.topk(min(most, a.shape[1]), dim=1)
    f = torch.zeros_like(a).scatter_(1, best.indices, best.values.clamp_min(0)).to(low)
    rows = w["W_dec"][asleep].to(low)
    left = (((f @ rows).float() + e) * (aid * 2 / len(x) / float(e.square().sum(1).mean()))).to(low)
    d_f = (left @ rows.T) * (f > 0)
    grads["W_enc"][:, asleep] += (x.to(low).T @ d_f).float()
    grads["b_enc"][asleep] += d_f.float().sum(0)
    grads["W_dec"][asleep] += (f.T @ left).float()
