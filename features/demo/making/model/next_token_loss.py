"""What is the loss of predicting each next token, and its gradient, without all logits in memory at once?"""

import math

import torch
from torch import Tensor

from .forward import Weights, normed, residual_post

CHUNK = 512  # positions whose logits are alive at once: 512 x 8,192 in bfloat16 stay in the cache


def loss(
    w: Weights,
    tokens: Tensor,  # [batch, n_ctx]
    dtype: torch.dtype,  # of matrix products
    sample: tuple[int, int, int] | None = None,  # common, sampled and seed of `candidates`; None: whole vocabulary
) -> Tensor:
    """Mean over every next token, in nats; differentiable once. []"""
    h = normed(w, "ln_final", residual_post(w, tokens[:, :-1], dtype), dtype).flatten(0, 1)  # [n, d_model]
    targets = tokens[:, 1:].reshape(-1)  # [n]
    W, b = w["unembed.W_U"], w["unembed.b_U"]
    chosen = candidates(targets, len(b), *sample) if sample else ()
    return NextTokenLoss.apply(h, W, b, targets, *chosen)


def candidates(targets: Tensor, vocabulary: int, common: int, sampled: int, seed: int) -> tuple[Tensor, Tensor]:
    """Entries that stand for the vocabulary in one batch: their ids, and what to add to their logits. [m], [m]

    The first `common` ids (byte-pair merges come in order of frequency), every target, and `sampled` others at
    random, each of which stands for several: + log(others / sampled) keeps the sum of exponentials unbiased
    (Jean et al., "On using very large target vocabulary for neural machine translation", 2015).
    """
    needed = torch.zeros(vocabulary, dtype=torch.bool)
    needed[:common] = True
    needed[targets.cpu()] = True
    others = torch.nonzero(~needed)[:, 0]
    generator = torch.Generator().manual_seed(seed + int(targets.sum()))  # another draw for every part of a batch
    drawn = torch.randperm(len(others), generator=generator)[:sampled]
    sure = torch.nonzero(needed)[:, 0]
    added = torch.full((len(drawn),), math.log(len(others) / max(1, len(drawn))) if len(drawn) else 0.0)
    ids = torch.cat([sure, others[drawn]]).to(targets.device)
    return ids, torch.cat([torch.zeros(len(sure)), added]).to(targets.device)


class NextTokenLoss(torch.autograd.Function):
    """Mean cross entropy of linear logits, whose gradient is made in the same pass over the vocabulary.

    All logits of a batch are gigabytes moved to and fro; a chunk of them stays in the cache. With
    p = softmax, dL/dlogits = (p - onehot) / n, so that nothing but the gradients outlives the chunk. `ids`
    and `added` from `candidates` make the sums over these entries only.
    """

    @staticmethod
    def forward(ctx, h, W, b, targets, ids=None, added=None):  # [n, d], [d, vocab], [vocab], [n], [m], [m]
        W_low, b_low = (W, b) if ids is None else (W[:, ids], b[ids] + added)
        W_low, b_low = W_low.to(h.dtype), b_low.to(h.dtype)
        if ids is not None:
            # A target's column among the candidates.
            columns = torch.empty(len(b), dtype=torch.int64, device=b.device)
            columns[ids] = torch.arange(len(ids), device=b.device)
            targets = columns[targets]
        d_h, d_W = torch.empty_like(h), torch.zeros_like(W_low, dtype=W.dtype)
        d_b, total = torch.zeros_like(b_low, dtype=b.dtype), 0.0
        for start in range(0, len(h), CHUNK):
            part, target = h[start : start + CHUNK], targets[start : start + CHUNK, None]
            p = torch.addmm(b_low, part, W_low).softmax(-1)  # [chunk, vocab or m]
            p_target = p.gather(1, target)
            total -= p_target.float().clamp_min(1e-30).log().sum()
            # p becomes the gradient of the logits, times n.
            p.scatter_(1, target, p_target - 1)
            d_h[start : start + CHUNK] = p @ W_low.t()
            d_W += part.t() @ p
            d_b += p.new_ones(1, len(p)).matmul(p)[0]
        if ids is not None:
            d_W = torch.zeros_like(W).index_copy_(1, ids, d_W)
            d_b = torch.zeros_like(b).index_copy_(0, ids, d_b)
        n = len(h)
        ctx.save_for_backward(d_h.div_(n), d_W.div_(n), d_b.div_(n))
        return total / n

    @staticmethod
    def backward(ctx, up):
        d_h, d_W, d_b = ctx.saved_tensors
        return d_h * up.to(d_h.dtype), d_W * up, d_b * up, None, None, None
