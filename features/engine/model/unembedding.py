"""The way from the residual stream to the logits: the one final-norm path, logit effects and losses.

Where many logits become probabilities they are taken times log2(e): the power of two is what is quick to compute, up to
three times as quick as e to the power of the same.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from ..kernels.parallel import Scratch, run_all
from .norm import Norm

CORE_BYTES = 1 << 20  # logits that a core works on at a time: they stay in its cache
GPU_BYTES = 256 << 20  # the same on a GPU, where many small steps would cost more than memory
ROWS = 256  # whose logits are computed together
LOG2E = math.log2(math.e)
NEARLY = 0.99  # of a cap: what lies beyond says little of the logit before it
SAME = 1e-4  # of the largest logit
ALIGNED = 16  # floats that a row of logits is filled up to: products into unaligned rows take up to 1.6 times as long


@dataclass(frozen=True)
class Unembedding:
    """Final norm and unembedding, the norm's gain and bias folded into the unembedding.

    logits(x) = cap(centre(x) / scale(centre(x)) @ U + b), where U = diag(gain) W_U and b = b_U + bias @ W_U, both times
    the factor of models that scale their logits (Granite, Cohere); cap(l) = c tanh(l / c) in those that cap them (Gemma
    2, arXiv:2408.00118).
    """

    U: Tensor  # [d_model, d_vocab]
    b: Tensor  # [d_vocab]
    eps: float
    centred: bool = True  # LayerNorm; False for RMSNorm, which does not take the mean away
    normed: bool = True  # False for models without a final norm
    cap: float | None = None  # c; None for models that do not cap their logits

    @classmethod
    def fold(
        cls, W_U, b_U=None, gain=None, bias=None, eps=1e-5, centred=True, normed=True, factor=1.0, cap=None
    ) -> "Unembedding":
        """From the weights as the model has them. W_U [d_model, d_vocab]; the others may be missing."""
        # U reads gain * x + bias: the gain scales the rows of W_U, bias @ W_U joins b_U.
        U = W_U if gain is None else gain[:, None] * W_U
        b = W_U.new_zeros(W_U.shape[1]) if b_U is None else b_U
        b = b if bias is None else b + bias @ W_U
        if factor != 1:
            U, b = U * factor, b * factor
        return cls(U.contiguous(), b, eps, centred, normed, cap)

    def to(self, device) -> "Unembedding":
        return replace(self, U=self.U.to(device), b=self.b.to(device))

    def centre(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        return torch.sub(x, x.mean(-1, keepdim=True), out=out) if self.centred and self.normed else x

    def scale(self, xc: Tensor) -> Tensor:
        """The norm's divisor: the root of the mean square (not the variance itself). [...]"""
        if not self.normed:
            return xc.new_ones(xc.shape[:-1])
        # eps is under the root, as in LayerNorm and RMSNorm; SAEs with an input norm add it to the root.
        return (xc.norm(dim=-1).square() / xc.shape[-1] + self.eps).sqrt()

    def unscaled(self, xc: Tensor, scratch: Scratch | None = None) -> Tensor:
        """Logits before the division by the scale and without the bias; linear in xc. [..., d_vocab]

        Of centred output directions the same as reference.logit_effects: float32 rounding.
        Rows lie ALIGNED; in memory of the scratch, if there is one.
        """
        flat, width = xc.reshape(-1, xc.shape[-1]), self.U.shape[1]
        # The width is rounded up to a multiple of ALIGNED; the view below leaves the filling columns out.
        shape = len(flat), -(-width // ALIGNED) * ALIGNED
        found = (flat.new_empty(shape) if scratch is None else scratch.buffer(shape, flat))[:, :width]
        return torch.mm(flat, self.U, out=found).view(*xc.shape[:-1], width)

    def logits(self, x: Tensor) -> Tensor:
        """[..., d_model] -> [..., d_vocab]. Same as reference.logits: float32 rounding."""
        xc = self.centre(x)
        return self.capped_(torch.addcmul(self.b, self.unscaled(xc), 1 / self.scale(xc)[..., None]))

    def capped_(self, logits: Tensor, unit: float = 1.0) -> Tensor:
        """Logits, in a unit of which `unit` make one, as the model caps them; overwrites them. [...]"""
        # c tanh(l / c); where a logit is counted in bits, so is c.
        return logits if self.cap is None else logits.div_(self.cap * unit).tanh_().mul_(self.cap * unit)

    def losses(self, x: Tensor, targets: Tensor) -> Tensor:
        """-log p(target), nats. x [n, d_model], targets [n] -> [n]. Same as reference.losses: float32 rounding."""
        parts = zip(x.split(ROWS), targets.split(ROWS), strict=True)
        return torch.cat(run_all([partial(self._losses, *part) for part in parts], x.device))

    @torch.no_grad()
    def _losses(self, x: Tensor, targets: Tensor) -> Tensor:
        xc = self.centre(x)
        return self.losses_of(self.unscaled(xc), self.scale(xc), targets)

    def losses_of(self, unscaled: Tensor, scale: Tensor, targets: Tensor) -> Tensor:
        """The same from logits before the division [n, d_vocab] by the scale [n]. [n]"""
        rows, found, b = _rows_at_once(self.b), [], self.b * LOG2E
        for part, size, aim in zip(unscaled.split(rows), scale.split(rows), targets.split(rows), strict=True):
            # (b + unscaled / scale) * log2(e): what the power of two is taken of.
            logits = self.capped_(torch.addcmul(b, part, LOG2E / size[:, None]), LOG2E)
            # The largest logit of a row becomes 0, so that no power overflows; the softmax stays the same.
            found.append(_losses(logits.sub_(logits.amax(1, keepdim=True)), aim))
        return torch.cat(found) if found else scale


def read_unembedding(
    W_U: Tensor, b_U: Tensor | None, norm: Norm | None, x: Tensor, logits: Tensor, numbers: Mapping[str, float]
) -> Unembedding:
    """The way on which a model's final residuals x [..., d_model] become its `logits` [..., d_vocab].

    What it does to logits after the unembedding, a factor or a cap, is told by the logits themselves. `numbers` are
    those of its config, by name: a cap is one of them, and so is a factor, or the inverse of one. Where nothing leads
    to these logits, they are left as the unembedding gives them, and `model_check` finds them wrong.
    """
    if W_U.shape[0] != x.shape[-1]:  # something stands between residual stream and unembedding (OPT 350M)
        return Unembedding(W_U.new_zeros(x.shape[-1], W_U.shape[1]), W_U.new_zeros(W_U.shape[1]), 0.0, normed=False)
    of_norm = {} if norm is None else {"gain": norm.gain, "bias": norm.bias, "eps": norm.eps, "centred": norm.centred}
    plain = Unembedding.fold(W_U, b_U, **of_norm, normed=norm is not None)
    given = plain.logits(x).double()
    caps = [value for name, value in numbers.items() if "softcap" in name.replace("_", "").lower()]
    for cap in (None, *caps):
        # Back through the cap, where it has not cut everything off.
        uncapped, clear = logits.double(), torch.ones_like(logits, dtype=torch.bool)
        if cap is not None:
            clear = logits.abs() < NEARLY * cap
            uncapped = cap * (uncapped / cap).clamp(-NEARLY, NEARLY).atanh()
        if not clear.any():
            continue
        factor = float((given * uncapped)[clear].sum() / given[clear].square().sum())
        found = Unembedding.fold(W_U, b_U, **of_norm, normed=norm is not None, factor=_stated(factor, numbers), cap=cap)
        if (found.logits(x) - logits).abs().max() <= SAME * logits.abs().max():
            return found
    return plain


def _stated(factor: float, numbers: Mapping[str, float]) -> float:
    """1, the number of the config, or the inverse of one that a measured factor is, but for rounding; else itself."""
    stated = (1.0, *numbers.values(), *(1 / number for number in numbers.values()))
    return next((number for number in stated if math.isclose(number, factor, rel_tol=1e-5)), factor)


def _rows_at_once(vocabulary: Tensor) -> int:
    """Rows of logits worked on at a time, for a tensor as wide as the vocabulary."""
    budget = GPU_BYTES if vocabulary.is_cuda else CORE_BYTES * torch.get_num_threads()
    return max(1, budget // (4 * len(vocabulary)))


def _losses(logits: Tensor, targets: Tensor) -> Tensor:
    """-log softmax at the targets, nats, for logits times log2(e) near or below 0; overwrites them.
    [n, d_vocab], [n] -> [n]"""
    # Before exp2_ overwrites the logits.
    chosen = logits.gather(1, targets[:, None]).squeeze(1)
    return logits.exp2_().sum(1).log2_().sub_(chosen).div_(LOG2E)
