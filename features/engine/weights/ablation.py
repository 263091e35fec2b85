"""Loss effects: what ablating one activation does to the loss at one position, for many pairs of the two.

No forward pass: with the final residual x, centred, its scale s, and a feature's direction e, centred, the logits
without activation f are ((x - f e) @ U) / s' + b, s'^2 = s^2 - 2 f mean(x e) + f^2 mean(e e). Both products with U are
taken for a strip of the vocabulary at a time, once for every position and every feature. So nothing is as large as
features or positions times the vocabulary, and a strip stays in the cache while all pairs read from it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..kernels.parallel import Scratch, serial_map
from ..model.unembedding import LOG2E, Head

STRIP_BYTES, GPU_STRIP_BYTES = 32 << 20, 1 << 30  # of features' logit effects held at a time, by each core
NARROWEST = 128  # tokens of a strip on a CPU: products want some
BLOCK_BYTES, GPU_BLOCK_BYTES = 1 << 20, 256 << 20  # of logits of positions, or of pairs, held at a time
FEWEST = 64  # positions together: products want some
REFERENCE = 64  # tokens whose highest logit says where a position's logits lie
WORTH_COMPILING = 1 << 26  # logits of pairs; fewer are done by tensor calls before the compiled loop is loaded
FAINT = 2.0**-60  # of the highest probability: a sum as small may be nothing but what was cut off


@dataclass(frozen=True)
class Ablated:
    """What each of n ablations does. Tensors [n]"""

    losses: Tensor  # nats, with everything in place
    on_loss: Tensor  # nats, the loss with the activation minus the loss without it
    on_logit: Tensor  # what the activation adds to the logit of the true next token, before the norm's scale


@torch.no_grad()
def ablate(
    head: Head,
    residuals: Tensor,
    targets: Tensor,
    directions: Tensor,
    at: Tensor,
    which: Tensor,
    activations: Tensor,
    *,
    unscaled: Tensor | None = None,
    run: Callable = serial_map,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Ablated:
    """For n pairs of a position, at[n], and a feature, which[n], whose activation there is activations[n].

    residuals [p, d_model] and targets [p], the true next tokens; directions [m, d_model], what features write into the
    residual stream per unit. Both are overwritten: they are large, and used centred. `unscaled` [p, d_vocab] is what
    `head.unscaled` makes of the centred residuals, where that is known. `run` carries out pieces of work (see
    parallel.py); `progress(done, total)` hears of the vocabulary.

    Same as reference.losses, reference.loss_effect and reference.logit_effect_on_token: float32 rounding of logits.
    """
    if not len(at):
        return Ablated(*(activations.new_zeros(0) for _ in range(3)))
    pairs = _Pairs(head, residuals, targets, directions, at, which, activations, unscaled)
    totals, strips = _Totals(pairs), pairs.strips()
    work = (partial(_over_strip, pairs, strip, totals.reference) for strip in strips)
    for strip, found in zip(strips, run(work), strict=True):
        totals.add(*found)
        progress(strip.stop, len(head.b))
    return totals.ablated()


class _Pairs:
    """Pairs in the order of their positions; to each position belongs one more, in which nothing is ablated."""

    def __init__(self, head: Head, residuals, targets, directions, at, which, activations, unscaled):
        self.head, self.given, self.unscaled = head, at, unscaled
        self.on_cpu, self.wide = at.device.type == "cpu", _widest(at.device)
        self.x, self.e = head.centre(residuals, out=residuals), head.centre(directions, out=directions)
        self.scales = head.scale(self.x)
        every = torch.arange(len(residuals), device=at.device)
        self.at, self.order = torch.cat([every, at]).sort(stable=True)
        self.which = torch.cat([torch.zeros_like(every), which])[self.order]
        self.f = torch.cat([activations.new_zeros(len(every)), activations])[self.order]
        self.aims = targets[self.at]
        self.compiled = self.on_cpu and len(self.at) * len(head.b) >= WORTH_COMPILING
        self.stretches = LOG2E / self._ablated_scales()
        self.weights = -self.f * self.stretches
        self._residuals, self._effects = Scratch(), Scratch()

    def __len__(self) -> int:
        return len(self.at)

    def _ablated_scales(self) -> Tensor:
        if not self.head.normed:
            return self.scales[self.at]
        dots = _compiled_dots if self.compiled else _row_dots
        cross = dots(self.x, self.e, self.at, self.which) / self.e.shape[1]
        size = self.e.square().mean(-1)[self.which]
        squared = self.scales[self.at].square() - 2 * self.f * cross + self.f.square() * size
        # Rounding can push an all-but-zero residual below the eps that the exact square contains.
        return squared.clamp_min(self.head.eps).sqrt()

    def strips(self) -> list[slice]:
        """The vocabulary in parts."""
        size, most = len(self.head.b), STRIP_BYTES if self.on_cpu else GPU_STRIP_BYTES
        width = min(size, most // (4 * len(self.e))) // NARROWEST * NARROWEST  # rows lie aligned
        width = max(width, NARROWEST)
        return [slice(start, min(start + width, size)) for start in range(0, size, width)]

    def blocks(self, width: int) -> list[tuple[slice, slice]]:
        """Some positions, whose logits in a strip so wide are held together, and the pairs there."""
        step = max(FEWEST, self.rows_at_once(width))
        starts = [*range(0, len(self.x), step), len(self.x)]
        bounds = torch.searchsorted(self.at, torch.tensor(starts, device=self.at.device)).tolist()
        return [(slice(*starts[n : n + 2]), slice(*bounds[n : n + 2])) for n in range(len(starts) - 1)]

    def rows_at_once(self, width: int) -> int:
        """Rows of logits so wide that are worked on together."""
        return max(1, (BLOCK_BYTES if self.on_cpu else GPU_BLOCK_BYTES) // (4 * width))

    def effects(self, strip: slice) -> Tensor:
        """What every feature writes to the tokens of a strip per unit. [m, width]"""
        return self._product(self.e, strip, self._effects)

    def residuals(self, positions: slice, strip: slice) -> Tensor:
        """Unscaled logits of some positions in a strip. [positions, width]"""
        if self.unscaled is not None:
            return self.unscaled[positions, strip].contiguous()
        return self._product(self.x[positions], strip, self._residuals)

    def _product(self, rows: Tensor, strip: slice, scratch: Scratch) -> Tensor:
        U = self.head.U[:, strip]
        return torch.mm(rows, U, out=scratch.buffer((len(rows), U.shape[1]), rows))

    def highest(self, residuals: Tensor, strip: slice, positions: slice) -> Tensor:
        """Of each position's logits in a strip, in bits, nothing ablated. [positions]"""
        return torch.addcmul(self.head.b[strip] * LOG2E, residuals, LOG2E / self.scales[positions, None]).amax(1)


def _over_strip(pairs: _Pairs, strip: slice, reference: Tensor) -> tuple[Tensor, ...]:
    """The sum over a strip of 2**(logit in bits - the position's reference) [n]; the highest logit of each position
    [p]; and of the pairs whose true next token is there [k]: which they are, that token's logit in bits, and what the
    feature writes to it per unit."""
    effects = pairs.effects(strip)
    parts = [_over_block(pairs, strip, effects, *block) for block in pairs.blocks(effects.shape[1])]
    sums, highest, *aimed = (torch.cat(kind) for kind in zip(*parts, strict=True))
    return sums * torch.exp2((highest - reference).to(pairs.wide))[pairs.at], highest, *aimed


def _over_block(pairs: _Pairs, strip: slice, effects: Tensor, positions: slice, own: slice) -> tuple[Tensor, ...]:
    """The same of some positions, sums against the highest logit of the strip."""
    residuals = pairs.residuals(positions, strip)
    highest = pairs.highest(residuals, strip, positions)
    at, which, bias = pairs.at[own] - positions.start, pairs.which[own], pairs.head.b[strip] * LOG2E
    stretches, weights, aims = pairs.stretches[own], pairs.weights[own], pairs.aims[own] - strip.start
    inputs = residuals, effects, bias, highest, at, which, stretches, weights
    sums = _compiled(*inputs) if pairs.compiled else _by_tensors(*inputs, pairs.rows_at_once(len(bias)))
    some = ((aims >= 0) & (aims < len(bias))).nonzero().squeeze(1)
    aims, written = aims[some], effects[which[some], aims[some]]
    parts = residuals[at[some], aims], stretches[some], weights[some], bias[aims]
    residual, stretch, weight, constant = (part.to(pairs.wide) for part in parts)
    logits = residual * stretch + (written * weight + constant)
    return sums.to(pairs.wide), highest, some + own.start, logits, written


def _by_tensors(residuals, effects, bias, highest, at, which, stretches, weights, step: int) -> Tensor:
    """Of each pair, the sum of 2**(logit - highest). [n]"""
    sums = []
    for part in (slice(start, start + step) for start in range(0, len(at), step)):
        logits = effects.index_select(0, which[part]).mul_(weights[part, None]).add_(bias)
        logits.addcmul_(residuals.index_select(0, at[part]), stretches[part, None])
        sums.append(logits.sub_(highest[at[part], None]).exp2_().sum(1))
    return torch.cat(sums) if sums else weights.new_zeros(0)


def _compiled(residuals, effects, bias, highest, at, which, stretches, weights) -> Tensor:
    """The same in one sweep."""
    from ..kernels.numba.exp2_sums import exp2_sums

    sums = torch.empty(len(at), dtype=torch.float64)
    arrays = residuals, effects, bias, highest, at, which, stretches, weights, sums
    exp2_sums(*(array.numpy() for array in arrays))
    return sums


class _Totals:
    """Adds up strips of the vocabulary."""

    def __init__(self, pairs: _Pairs):
        self.pairs = pairs
        first = slice(0, REFERENCE)
        every = slice(0, len(pairs.x))
        self.reference = pairs.highest(pairs.residuals(every, first), first, every)  # near enough for float64
        self.highest = torch.full_like(self.reference, -torch.inf)
        self.sums = torch.zeros(len(pairs), dtype=pairs.wide, device=pairs.at.device)
        self.logits, self.written = torch.empty_like(self.sums), torch.empty_like(pairs.f)

    def add(self, sums: Tensor, highest: Tensor, aimed: Tensor, logits: Tensor, written: Tensor) -> None:
        self.sums += sums
        torch.maximum(self.highest, highest, out=self.highest)
        self.logits[aimed], self.written[aimed] = logits, written

    def ablated(self) -> Ablated:
        pairs = self.pairs
        bits = self.sums.log2() + self.reference[pairs.at] - self.logits
        losses, written = self._as_given(self._mended((bits / LOG2E).float())), self._as_given(self.written * pairs.f)
        count = len(pairs.x)
        clean, without = losses[:count][pairs.given], losses[count:]
        return Ablated(clean, clean - without, written[count:])

    def _as_given(self, values: Tensor) -> Tensor:
        found = torch.empty_like(values)
        found[self.pairs.order] = values
        return found

    def _mended(self, losses: Tensor) -> Tensor:
        """Those where an ablation, or the logits of other strips, left the range of numbers are taken again whole."""
        pairs = self.pairs
        share = self.sums * torch.exp2((self.reference - self.highest).to(pairs.wide))[pairs.at]
        lost = (~(share > FAINT) | ~share.isfinite()).nonzero().squeeze(1)
        for some in lost.split(FEWEST):
            x = pairs.x[pairs.at[some]] - pairs.f[some, None] * pairs.e[pairs.which[some]]
            losses[some] = pairs.head.losses(x, pairs.aims[some])
        return losses


def _widest(device) -> torch.dtype:
    """What sums over the vocabulary are kept in."""
    return torch.float32 if device.type == "mps" else torch.float64  # Apple's has no float64


def _row_dots(left: Tensor, right: Tensor, at: Tensor, which: Tensor, rows: int = 4096) -> Tensor:
    """Inner products of left[at] and right[which], without holding all pairs at once. [n]"""
    return torch.cat([(left[i] * right[j]).sum(-1) for i, j in zip(at.split(rows), which.split(rows), strict=True)])


def _compiled_dots(left: Tensor, right: Tensor, at: Tensor, which: Tensor) -> Tensor:
    from ..kernels.numba.exp2_sums import row_dots

    found = left.new_empty(len(at))
    row_dots(*(array.numpy() for array in (left, right, at, which, found)))
    return found
