"""Which features need help, and how? Those that hardly fire, or whose encoder and decoder have parted, learn to rebuild
what the others leave: the auxiliary loss AuxK.

Gao et al., "Scaling and evaluating sparse autoencoders" (2024), section 2.4 and appendix A.2.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .batch_topk import Forward
from .inputs import Weights

COEFFICIENT = 1 / 32  # of the auxiliary loss, as there
K_AUX = 64  # helped features that take part on a token
HELPED = 512  # features helped at once: the help is dense and must stay cheap
RARE = 1 / 20_000  # of the tokens: what fires on fewer is helped. Silence is no sign: what is broken fires now and then
APART = 0.2  # cosine of encoder and decoder below which a feature is helped


@dataclass
class Recent:
    """On how many of the last tokens each feature fired, in blocks, the oldest of which is forgotten for a new one."""

    counts: Tensor  # [blocks, d_sae] int64
    tokens: Tensor  # [blocks] int64, read in each

    @classmethod
    def empty(cls, d_sae: int, device: torch.device, blocks: int = 10) -> "Recent":
        return cls(*(torch.zeros(size, dtype=torch.int64, device=device) for size in ((blocks, d_sae), (blocks,))))

    def add(self, fired: Tensor, tokens: int, window: int) -> None:
        """Of a batch: fired [d_sae] on so many tokens. All blocks together hold about `window` tokens."""
        if int(self.tokens[-1]) * len(self.tokens) >= window:
            self.counts, self.tokens = self.counts.roll(-1, 0), self.tokens.roll(-1)
            self.counts[-1], self.tokens[-1] = 0, 0
        self.counts[-1] += fired
        self.tokens[-1] += tokens

    def rates(self) -> Tensor:
        """Share of the tokens remembered on which each feature fired. [d_sae] float64"""
        return self.counts.sum(0).double() / max(1, int(self.tokens.sum()))


def needy(w: Weights, rates: Tensor) -> Tensor:
    """Whether a feature is helped. rates [d_sae]: share of the tokens on which each fires. [d_sae] bool"""
    return (rates < RARE) | (alignment(w) < APART)


def alignment(w: Weights) -> Tensor:
    """Cosine of each feature's encoder column and decoder row. [d_sae]"""
    return torch.cosine_similarity(w["W_enc"].T, w["W_dec"], dim=1)


def helped(w: Weights, rates: Tensor) -> Tensor:
    """The HELPED rarest of those that need it. [n]"""
    rarest = torch.where(needy(w, rates), rates, torch.inf).topk(min(HELPED, len(rates)), largest=False)
    return rarest.indices[rarest.values.isfinite()]


def add_gradients(gradients: dict[str, Tensor], w: Weights, forward: Forward, features: Tensor) -> None:
    """Adds those of COEFFICIENT * |e + f W_dec|^2 / mean |e|^2, f = max(p, 0) on the K_AUX highest p of `features` [n]
    on each token, else 0. e is taken as constant."""
    if not len(features):
        return
    x, e, dtype = forward.x, forward.e, forward.p.dtype
    p = forward.p[:, features].float()  # [tokens, n]
    best = p.topk(min(K_AUX, p.shape[1]), dim=1)
    f = torch.zeros_like(p).scatter_(1, best.indices, best.values.clamp_min(0)).to(dtype)
    rows = w["W_dec"][features].to(dtype)  # [n, d_in]
    left = (f @ rows).float() + e
    g = (left * (COEFFICIENT * 2 / len(x) / float(e.square().sum(1).mean()))).to(dtype)  # [tokens, d_in]
    d_f = (g @ rows.T) * (f > 0)
    gradients["W_enc"][:, features] += (x.to(dtype).T @ d_f).float()
    gradients["b_enc"][features] += d_f.float().sum(0)
    gradients["W_dec"][features] += (f.T @ g).float()
