"""The way from the residual stream to the logits: the one final-norm path, logit effects and loss effects.

Where many logits become probabilities they are taken times log2(e): the power of two is what is quick to compute, up to
three times as quick as e to the power of the same.
"""

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from .row_store import RowStore
from .threads import results_of

CORE_BYTES = 1 << 20  # logits that a core works on at a time: they stay in its cache
GPU_BYTES = 256 << 20  # the same on a GPU, where many small steps would cost more than memory
ROWS = 256  # directions whose logit effects are computed together, at most
LEAST_ROWS, ROW_BYTES = 16, 64 << 20  # fewer where the vocabulary is large: every core holds so much
LOG2E = math.log2(math.e)
ALIGNED = 16  # floats that a row of logits is filled up to: products into unaligned rows take up to 1.6 times as long


@dataclass(frozen=True)
class Head:
    """Final norm and unembedding, the norm's gain and bias folded into the unembedding.

    logits(x) = centre(x) / scale(centre(x)) @ U + b, where U = diag(gain) W_U and b = b_U + bias @ W_U.
    """

    U: Tensor  # [d_model, d_vocab]
    b: Tensor  # [d_vocab]
    eps: float
    centred: bool = True  # LayerNorm; False for RMSNorm, which does not take the mean away
    normed: bool = True  # False for models without a final norm

    @classmethod
    def fold(cls, W_U, b_U=None, gain=None, bias=None, eps=1e-5, centred=True, normed=True) -> "Head":
        """From the weights as the model has them. W_U [d_model, d_vocab]; the others may be missing."""
        U = W_U if gain is None else gain[:, None] * W_U
        b = W_U.new_zeros(W_U.shape[1]) if b_U is None else b_U
        return cls(U.contiguous(), b if bias is None else b + bias @ W_U, eps, centred, normed)

    def to(self, device) -> "Head":
        return Head(self.U.to(device), self.b.to(device), self.eps, self.centred, self.normed)

    def centre(self, x: Tensor) -> Tensor:
        return x - x.mean(-1, keepdim=True) if self.centred and self.normed else x

    def scale(self, xc: Tensor) -> Tensor:
        """The norm's divisor: the root of the mean square (not the variance itself). [...]"""
        return (xc.square().mean(-1) + self.eps).sqrt() if self.normed else xc.new_ones(xc.shape[:-1])

    def unscaled(self, xc: Tensor) -> Tensor:
        """Logits before the division by the scale and without the bias; linear in xc. [..., d_vocab]"""
        flat, width = xc.reshape(-1, xc.shape[-1]), self.U.shape[1]
        found = flat.new_empty(len(flat), -(-width // ALIGNED) * ALIGNED)[:, :width]
        return torch.mm(flat, self.U, out=found).view(*xc.shape[:-1], width)

    def logits(self, x: Tensor) -> Tensor:
        """[..., d_model] -> [..., d_vocab]"""
        xc = self.centre(x)
        return torch.addcmul(self.b, self.unscaled(xc), 1 / self.scale(xc)[..., None])

    def losses(self, x: Tensor, targets: Tensor) -> Tensor:
        """-log p(target), nats. x [n, d_model], targets [n] -> [n]"""
        parts = zip(x.split(ROWS), targets.split(ROWS), strict=True)
        return torch.cat(results_of([partial(self._losses, *part) for part in parts], x.device))

    @torch.no_grad()
    def _losses(self, x: Tensor, targets: Tensor) -> Tensor:
        logits = self.unscaled(self.centre(x)).mul_(LOG2E / self.scale(self.centre(x))[:, None])
        rows, found, b = _rows_at_once(self.b), [], self.b * LOG2E
        for part, aim in zip(logits.split(rows), targets.split(rows), strict=True):
            part = part.add_(b)
            found.append(_losses(part.sub_(part.amax(1, keepdim=True)), aim))
        return torch.cat(found)


@dataclass(frozen=True)
class Directions:
    """What features write into the residual stream, per unit of activation, and its way to the logits."""

    centred: Tensor  # [n, d_model]
    squares: Tensor  # [n], the mean of each one's squares
    effects: RowStore  # [n, d_vocab], the logit effects

    @classmethod
    def of(cls, head: Head, directions: Tensor) -> "Directions":
        """From output directions [n, d_model]."""
        centred = head.centre(directions)
        effects = RowStore(len(centred), head.U.shape[1], centred.device)
        rows = ROWS  # those of a prompt's token are one piece: other requests keep their cores
        if len(centred) > ROWS:
            rows = max(LEAST_ROWS, min(ROWS, ROW_BYTES // (4 * head.U.shape[1])))
        parts = enumerate(centred.split(rows))
        results_of([partial(_store, head, part, effects, rows * n) for n, part in parts], centred.device)
        return cls(centred, centred.square().mean(-1), effects)


@torch.no_grad()
def _store(head: Head, centred: Tensor, effects: RowStore, start: int) -> None:
    effects.put(start, head.unscaled(centred))


@dataclass(frozen=True)
class Positions:
    """Final residuals of some positions, with what every ablation there shares."""

    centred: Tensor  # [p, d_model]
    unscaled: Tensor  # [p, d_vocab], moved by one number a row so that the highest logit is near 0
    scale: Tensor  # [p]
    targets: Tensor  # [p], the true next tokens
    losses: Tensor  # [p], nats, with everything in place

    @classmethod
    def of(cls, head: Head, residuals: Tensor, targets: Tensor) -> "Positions":
        """From final residuals [p, d_model] and true next tokens [p]."""
        centred = head.centre(residuals)
        unscaled, scale = head.unscaled(centred), head.scale(centred)
        rows, b = _rows_at_once(head.b), head.b * LOG2E
        losses = []
        for part, size, aim in zip(unscaled.split(rows), scale.split(rows), targets.split(rows), strict=True):
            logits = torch.addcmul(b, part, LOG2E / size[:, None])
            highest = logits.amax(1, keepdim=True)
            losses.append(_losses(logits.sub_(highest), aim))
            part.sub_(highest * (size[:, None] / LOG2E))  # the same for every token: no loss changes, exp2 stays finite
        return cls(centred, unscaled, scale, targets, torch.cat(losses) if losses else scale)


def loss_effects(*pairs) -> Tensor:
    """The first of what `effects_of_pairs` finds. [n]"""
    return effects_of_pairs(*pairs)[0]


def effects_of_pairs(
    head: Head, positions: Positions, directions: Directions, at: Tensor, which: Tensor, activations: Tensor
) -> tuple[Tensor, Tensor]:
    """For n pairs of a position and a feature: the loss with the feature minus the loss without it, nats, and what the
    activation adds to the logit of the true next token, before the norm's scale.

    `at` [n] into positions, quickest where equal ones follow each other, `which` [n] into directions, `activations`
    [n] -> [n], [n]. Ablating activation f with
    centred direction e at centred residual x, everything else kept, the logits are ((x - f e) @ U) / s' + b
    with s'^2 = s^2 - 2 f mean(x e) + f^2 mean(e e): no forward pass, one axpy and one log-sum-exp a pair.
    """
    inverse = 1 / _ablated_scales(head, positions, directions, at, which, activations)
    weights, targets = -activations * inverse, positions.targets[at]
    rows, b, whose = _rows_at_once(head.b), head.b * LOG2E, None if at.is_cuda else at.tolist()
    ablated, added = torch.empty_like(activations), torch.empty_like(activations)
    for start in range(0, len(at), rows):
        part = slice(start, start + rows)
        logits = directions.effects.take(which[part])
        added[part] = logits.gather(1, targets[part, None]).squeeze(1)
        logits.mul_(LOG2E * weights[part, None]).add_(b)
        alike = whose is not None and len(set(whose[part])) == 1
        residual = positions.unscaled[whose[start]] if alike else positions.unscaled.index_select(0, at[part])
        logits.addcmul_(residual, LOG2E * inverse[part, None])
        ablated[part] = _losses(logits, targets[part])
    ablated = _mended(ablated, head, positions, directions, at, which, weights, inverse)
    return positions.losses[at] - ablated, added.mul_(activations)


def _rows_at_once(vocabulary: Tensor) -> int:
    """Rows of logits worked on at a time, for a tensor as wide as the vocabulary."""
    budget = GPU_BYTES if vocabulary.is_cuda else CORE_BYTES * torch.get_num_threads()
    return max(1, budget // (4 * len(vocabulary)))


def _losses(logits: Tensor, targets: Tensor) -> Tensor:
    """-log softmax at the targets, nats, for logits times log2(e) near or below 0; overwrites them.
    [n, d_vocab], [n] -> [n]"""
    chosen = logits.gather(1, targets[:, None]).squeeze(1)
    return logits.exp2_().sum(1).log2_().sub_(chosen).div_(LOG2E)


def _mended(ablated, head, positions, directions, at, which, weights, inverse) -> Tensor:
    """The rare losses whose ablation moved the highest logit out of exp2's range, taken again with care."""
    for n in (~ablated.isfinite()).nonzero().flatten().tolist():
        effects = directions.effects.take(which[n : n + 1])[0]
        logits = positions.unscaled[at[n]] * inverse[n] + weights[n] * effects + head.b
        ablated[n] = logits.logsumexp(0) - logits[positions.targets[at[n]]]
    return ablated


def _ablated_scales(head, positions, directions, at, which, activations) -> Tensor:
    if not head.normed:
        return positions.scale[at]
    size = directions.squares[which]
    cross = _row_dots(positions.centred, directions.centred, at, which) / directions.centred.shape[1]
    squared = positions.scale[at].square() - 2 * activations * cross + activations.square() * size
    # Rounding can push an all-but-zero residual below the eps that the exact square contains.
    return squared.clamp_min(head.eps).sqrt()


def _row_dots(left: Tensor, right: Tensor, at: Tensor, which: Tensor, rows: int = 4096) -> Tensor:
    """Inner products of left[at] and right[which], without holding all pairs at once. [n]"""
    parts = [(left[i] * right[j]).sum(-1) for i, j in zip(at.split(rows), which.split(rows), strict=True)]
    return torch.cat(parts) if parts else left.new_zeros(0)
