"""How do weights move? Muon for the matrices inside the block, Adam for everything else.

Muon: K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024).
Adam: Kingma and Ba, "Adam: a method for stochastic optimization" (2014).
"""

import torch
from torch import Tensor

QUINTIC = (3.4445, -4.7750, 2.0315)  # Jordan's: singular values of any size reach 0.7..1.2 in five rounds


def orthogonal(G: Tensor, rounds: int = 5) -> Tensor:
    """Nearly U V' of G = U S V', by Newton-Schulz: X <- aX + (bA + cA^2)X with A = XX'. Like G.

    G is [..., rows, columns]; leading dimensions are separate matrices. In float32 everywhere: processors without
    bfloat16 would spend more time here than on the whole model.
    """
    a, b, c = QUINTIC
    tall = G.shape[-2] > G.shape[-1]
    X = G.mT if tall else G
    X = X / (X.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(rounds):
        A = X @ X.mT
        X = a * X + (b * A + c * (A @ A)) @ X
    return X.mT if tall else X


class Muon:
    """Nesterov momentum, made orthogonal: every direction of a matrix learns at the same speed."""

    def __init__(self, weight: Tensor, rate: float, momentum: float = 0.95):
        self.weight, self.rate, self.momentum = weight, rate, momentum
        self.state = {"velocity": torch.zeros_like(weight)}

    def step(self, gradient: Tensor, scale: float) -> None:
        """weight -= rate * scale * sqrt(max(1, columns / rows)) * orthogonal(gradient + momentum * velocity)."""
        velocity = self.state["velocity"].mul_(self.momentum).add_(gradient)
        update = orthogonal(gradient.add(velocity, alpha=self.momentum))
        rows, columns = self.weight.shape[-2:]
        self.weight.add_(update, alpha=-self.rate * scale * max(1.0, columns / rows) ** 0.5)


class Adam:
    """Adam with bias correction and no weight decay."""

    def __init__(self, weight: Tensor, rate: float, betas: tuple[float, float] = (0.9, 0.98), eps: float = 1e-10):
        self.weight, self.rate, self.betas, self.eps = weight, rate, betas, eps
        self.state = {
            "mean": torch.zeros_like(weight),
            "square": torch.zeros_like(weight),
            "steps": torch.zeros(()),
        }

    def step(self, gradient: Tensor, scale: float) -> None:
        """weight -= rate * scale * mean / (sqrt(square) + eps), both moments corrected for their start at zero."""
        (beta1, beta2), state = self.betas, self.state
        state["steps"] += 1
        n = int(state["steps"])
        state["mean"].lerp_(gradient, 1 - beta1)
        state["square"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        below = (state["square"] / (1 - beta2**n)).sqrt_().add_(self.eps)
        self.weight.addcdiv_(state["mean"], below, value=-self.rate * scale / (1 - beta1**n))
