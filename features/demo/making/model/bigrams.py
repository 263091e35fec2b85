"""Where do the embeddings start? At the best low-rank guess of the next token from the current one alone.

Counting pairs reads the whole corpus in seconds; a transformer would learn the same from its first millions of
tokens, and of rare tokens much later. With attention and neurons silent the model's logits are

    LN_final(W_E[token]) W_U + b_U

so W_E, W_U, b_U and the final norm are fitted to the counted distributions, one vocabulary entry an example.
"""

import numpy as np
import torch

from ..optimiser import Adam
from ..schedules import trapezoid
from .forward import Weights, normed

FITTED = {  # weight -> Adam's rate
    "embed.W_E": 0.04,
    "unembed.W_U": 0.008,
    "unembed.b_U": 0.004,
    "ln_final.w": 0.004,
    "ln_final.b": 0.004,
}


def count(rows: np.ndarray, size: int, batch: int = 50_000) -> torch.Tensor:
    """How often each token follows each other one. rows [n, length] -> [size, size] float32, exact below 2**24"""
    pairs = np.zeros(size * size, np.int64)
    for start in range(0, len(rows), batch):
        part = np.asarray(rows[start : start + batch], np.int64)
        # A pair (a, b) is counted at a * size + b.
        pairs += np.bincount((part[:, :-1] * size + part[:, 1:]).ravel(), minlength=size * size)
    return torch.from_numpy(pairs.reshape(size, size)).float()


def start_biases(weights: Weights, counts: torch.Tensor) -> None:
    """b_U = log of each token's share, one pseudo-count each."""
    shares = counts.sum(0) + 1
    weights["unembed.b_U"].copy_((shares / shares.sum()).log())


def fit(
    weights: Weights,
    counts: torch.Tensor,  # [size, size]
    passes: int,
    dtype: torch.dtype,  # of the products
    batch: int = 512,
    seed: int = 0,
) -> list[float]:
    """Moves the fitted weights in place; the mean loss of each pass in nats, tokens weighted by their frequency.

    An entry counts with the square root of its frequency: common ones matter more, rare ones still learn.
    """
    start_biases(weights, counts)
    names = list(FITTED)
    optimisers = [Adam(weights[name], rate) for name, rate in FITTED.items()]
    seen = counts.sum(1)  # [size]
    known = torch.nonzero(seen)[:, 0]
    emphasis = seen.sqrt() / seen[known].sqrt().mean()
    generator, losses, done = torch.Generator().manual_seed(seed), [], 0
    for _ in range(passes):
        total = 0.0
        for chosen in known[torch.randperm(len(known), generator=generator)].split(batch):
            target = counts[chosen] / seen[chosen, None]  # [batch, size]
            trained = [weights[name].requires_grad_() for name in names]
            h = normed(weights, "ln_final", weights["embed.W_E"][chosen], dtype)
            logits = torch.addmm(weights["unembed.b_U"].to(dtype), h, weights["unembed.W_U"].to(dtype))
            each = logits.float().logsumexp(1) - (logits * target).sum(1)  # [batch]
            gradients = torch.autograd.grad((each * emphasis[chosen]).mean(), trained)
            with torch.no_grad():
                scale = trapezoid(done, passes * len(known), 5 * batch, decay=0.5)
                for optimiser, gradient in zip(optimisers, gradients, strict=True):
                    optimiser.weight.requires_grad_(False)
                    optimiser.step(gradient, scale)
                total += float((each * seen[chosen]).sum())
            done += len(chosen)
        losses.append(total / float(seen.sum()))
    return losses
