"""What does a norm do? Its kind, gain, bias and eps, read off a module of any library, held against what it computes.

Libraries store a gain as it is, or what it is above 1 (Gemma), or none (OLMo); some norms have no bias (Cohere, MPT).
Instead of the name of a class, that reading counts which gives what the module gives.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

EPS_NAMES = ("eps", "variance_epsilon", "epsilon", "norm_eps", "layer_norm_eps")
USUAL_EPS = (1e-5, 1e-6)  # of norms that do not say theirs
TOLERANCE = 1e-4  # of the largest value


class UnreadableNorm(ValueError):
    """A module that computes something else than LayerNorm or RMSNorm."""


@dataclass(frozen=True)
class Norm:
    """LayerNorm (`centred`) or RMSNorm: gain * x / scale + bias, where x has had its mean taken away by the former."""

    gain: Tensor | None  # [d]; None: 1
    bias: Tensor | None  # [d]; None: 0
    eps: float
    centred: bool

    @classmethod
    @torch.no_grad()
    def read(cls, module, width: int, device="cpu") -> "Norm | None":
        """None where the module changes nothing. Raises UnreadableNorm."""
        probe = _probe(width).to(device)
        computed = module(probe).float()
        if torch.equal(computed, probe):
            return None
        for norm in cls._candidates(module):
            if (norm(probe) - computed).abs().max() <= TOLERANCE * computed.abs().max():
                return norm
        raise UnreadableNorm(f"{type(module).__name__} computes neither LayerNorm nor RMSNorm.")

    @classmethod
    def _candidates(cls, module) -> Iterator["Norm"]:
        weight, bias = (_vector(getattr(module, name, None)) for name in ("weight", "bias"))
        # Gemma stores its gain less one; a weight that is not used is none.
        gains = [None] if weight is None else [weight, 1 + weight, None]
        stated = next((getattr(module, name) for name in EPS_NAMES if getattr(module, name, None) is not None), None)
        every_eps = USUAL_EPS if stated is None else (float(stated),)
        # Most norms without a bias take no mean away.
        for centred, gain, eps in product((bias is not None, bias is None), gains, every_eps):
            yield cls(gain, bias, eps, centred)

    def __call__(self, x: Tensor) -> Tensor:
        """[..., d] -> [..., d]"""
        y = self.through(x) / self.scale(x)[..., None]
        return y if self.bias is None else y + self.bias

    def through(self, x: Tensor) -> Tensor:
        """The linear part: what the norm makes of x before it divides by the scale, its bias left out. [..., d]"""
        centred = x - x.mean(-1, keepdim=True) if self.centred else x
        return centred if self.gain is None else centred * self.gain

    def scale(self, x: Tensor) -> Tensor:
        """What it divides by: the root of the mean square. [..., d] -> [...]"""
        # LayerNorm divides by the deviation, RMSNorm by the root of the mean square, mean and all.
        centred = x - x.mean(-1, keepdim=True) if self.centred else x
        return (centred.square().mean(-1) + self.eps).sqrt()


def _vector(weight) -> Tensor | None:
    return None if weight is None else weight.detach().float()


def _probe(width: int) -> Tensor:
    """Activations that tell kinds of norms apart: of several sizes, the smallest near the root of eps, with a mean."""
    drawn = torch.randn(6, width, generator=torch.Generator().manual_seed(0))
    return drawn * torch.tensor([[3e-3], [1e-2], [1.0], [1.0], [30.0], [1.0]]) + torch.tensor(
        [[0.0], [0.0], [0.0], [2.0], [0.0], [-1.0]]
    )
