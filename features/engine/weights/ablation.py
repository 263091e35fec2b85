"""Loss effects: what ablating one activation does to the loss at one position, for many pairs of the two.

The metric "loss_effect" of sae_vis and of the original page, a direct effect, without a forward pass: with the final
residual x, centred, its scale s, and a feature's direction e, centred, the logits without activation f are

    ((x - f e) @ U) / s' + b,    s'^2 = s^2 - 2 f mean(x e) + f^2 mean(e e).

Both products with U are taken for a tile of the vocabulary at a time, once for every position and every feature. So
nothing is as large as features or positions times the vocabulary, and a tile stays in the cache while all pairs read
from it. Softmax denominators of the tiles add up as in an online softmax (Milakov and Gimelshein, 2018).

Logits are kept in bits, times log2(e), since powers of two are what is fast to compute; where a model caps its logits,
that is done to each before its power.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..kernels.parallel import Scratch, serial_map
from ..model.unembedding import LOG2E, Unembedding
from .ablation_sums import implementation_for

TILE_BYTES, GPU_TILE_BYTES = 32 << 20, 1 << 30  # of features' logit effects held at a time, by each core
LEAST_WIDTH = 128  # tokens of a tile on a CPU: products want some
BLOCK_BYTES, GPU_BLOCK_BYTES = 1 << 20, 256 << 20  # of logits of positions, or of pairs, held at a time
LEAST_POSITIONS = 64  # together: products want some
REFERENCE_TOKENS = 64  # whose highest logit says where a position's logits lie
FAINT = 2.0**-60  # of the highest probability: a sum as small may be nothing but what was cut off


@dataclass(frozen=True)
class AblationEffects:
    """What each of n ablations does. Tensors [n]"""

    losses: Tensor  # nats, with everything in place
    on_loss: Tensor  # nats, the loss with the activation minus the loss without it
    on_logit: Tensor  # what the activation adds to the logit of the true next token, before the norm's scale


@torch.no_grad()
def ablate(
    unembedding: Unembedding,
    residuals: Tensor,
    targets: Tensor,
    directions: Tensor,
    positions: Tensor,
    features: Tensor,
    activations: Tensor,
    *,
    unscaled: Tensor | None = None,
    run: Callable = serial_map,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> AblationEffects:
    """For n pairs of a position, positions[n], and a feature, features[n], whose activation there is activations[n].

    residuals [p, d_model] and targets [p], the true next tokens; directions [m, d_model], what features write into the
    residual stream per unit. Both are overwritten: they are large, and used centred. `unscaled` [p, d_vocab] is what
    `unembedding.unscaled` makes of the centred residuals, where that is known. `run` calls tasks (see parallel.py);
    `progress(done, total)` hears of the vocabulary.

    Same as reference.losses, reference.loss_effect and reference.logit_effect_on_token: float32 rounding of logits.
    """
    if not len(positions):
        return AblationEffects(*(activations.new_zeros(0) for _ in range(3)))
    pairs = _Pairs(unembedding, residuals, targets, directions, positions, features, activations, unscaled)
    sums, tiles = _VocabularySums(pairs), pairs.tiles()
    tasks = (partial(_over_tile, pairs, tile, sums.references) for tile in tiles)
    for tile, result in zip(tiles, run(tasks), strict=True):
        sums.add(*result)
        progress(tile.stop, len(unembedding.b))
    return sums.effects()


class _Pairs:
    """Pairs in the order of their positions; to each position belongs one more, in which nothing is ablated."""

    def __init__(
        self, unembedding: Unembedding, residuals, targets, directions, positions, features, activations, unscaled
    ):  # fmt: skip
        self.unembedding, self.given_positions, self.unscaled = unembedding, positions, unscaled
        self.on_cpu, self.wide_dtype = positions.device.type == "cpu", _widest_dtype(positions.device)
        self.x, self.e = unembedding.centre(residuals, out=residuals), unembedding.centre(directions, out=directions)
        self.scales = unembedding.scale(self.x)  # [p]
        # The clean pairs come first: a stable sort leaves each in front of its position's ablations.
        every = torch.arange(len(residuals), device=positions.device)
        self.positions, self.order = torch.cat([every, positions]).sort(stable=True)  # [p + n] each
        self.features = torch.cat([torch.zeros_like(every), features])[self.order]
        self.f = torch.cat([activations.new_zeros(len(every)), activations])[self.order]
        self.targets = targets[self.positions]
        cap = None if unembedding.cap is None else unembedding.cap * LOG2E  # in bits
        self.by = implementation_for(positions.device, len(self.positions) * len(unembedding.b), cap)
        # A logit in bits is (x U) * inverse_scale + (e U) * weight + b log2(e), with weight = -f * inverse_scale.
        self.inverse_scales = LOG2E / self._ablated_scales()
        self.weights = -self.f * self.inverse_scales
        self._residual_scratch, self._effect_scratch = Scratch(), Scratch()

    def __len__(self) -> int:
        return len(self.positions)

    def _ablated_scales(self) -> Tensor:
        """s' of each pair. [p + n]"""
        if not self.unembedding.normed:
            return self.scales[self.positions]
        cross = self.by.row_dots(self.x, self.e, self.positions, self.features) / self.e.shape[1]  # mean(x e)
        size = self.e.square().mean(-1)[self.features]  # mean(e e)
        squared = self.scales[self.positions].square() - 2 * self.f * cross + self.f.square() * size
        # Rounding can push an all-but-zero residual below the eps that the exact square contains.
        return squared.clamp_min(self.unembedding.eps).sqrt()

    def tiles(self) -> list[slice]:
        """The vocabulary in parts."""
        size, most = len(self.unembedding.b), TILE_BYTES if self.on_cpu else GPU_TILE_BYTES
        width = min(size, most // (4 * len(self.e))) // LEAST_WIDTH * LEAST_WIDTH  # rows lie aligned
        width = max(width, LEAST_WIDTH)
        return [slice(start, min(start + width, size)) for start in range(0, size, width)]

    def blocks(self, width: int) -> list[tuple[slice, slice]]:
        """Some positions, whose logits in a tile so wide are held together, and the pairs there."""
        step = max(LEAST_POSITIONS, self.rows_at_once(width))
        edges = [*range(0, len(self.x), step), len(self.x)]
        # Pairs ascend by position: those of a block of positions lie between two bounds.
        bounds = torch.searchsorted(self.positions, torch.tensor(edges, device=self.positions.device)).tolist()
        return [(slice(*edges[n : n + 2]), slice(*bounds[n : n + 2])) for n in range(len(edges) - 1)]

    def rows_at_once(self, width: int) -> int:
        """Rows of logits so wide that are worked on together."""
        return max(1, (BLOCK_BYTES if self.on_cpu else GPU_BLOCK_BYTES) // (4 * width))

    def effects(self, tile: slice) -> Tensor:
        """What every feature writes to the tokens of a tile per unit. [m, width]"""
        return self._product(self.e, tile, self._effect_scratch)

    def residual_logits(self, positions: slice, tile: slice) -> Tensor:
        """Unscaled logits of some positions in a tile. [positions, width]"""
        if self.unscaled is not None:
            return self.unscaled[positions, tile].contiguous()
        return self._product(self.x[positions], tile, self._residual_scratch)

    def _product(self, rows: Tensor, tile: slice, scratch: Scratch) -> Tensor:
        U = self.unembedding.U[:, tile]  # [d_model, width]
        return torch.mm(rows, U, out=scratch.buffer((len(rows), U.shape[1]), rows))

    def highest(self, residual_logits: Tensor, tile: slice, positions: slice) -> Tensor:
        """Of each position's logits in a tile, in bits, nothing ablated. [positions]"""
        highest = torch.addcmul(
            self.unembedding.b[tile] * LOG2E, residual_logits, LOG2E / self.scales[positions, None]
        ).amax(1)
        return self.unembedding.capped_(highest, LOG2E)  # a cap keeps the order


def _over_tile(pairs: _Pairs, tile: slice, references: Tensor) -> tuple[Tensor, ...]:
    """The sum over a tile of 2**(logit in bits - the position's reference) [p + n]; the highest logit of each position
    [p]; and of the pairs whose true next token is there [k]: which they are, that token's logit in bits, and what the
    feature writes to it per unit."""
    effects = pairs.effects(tile)
    parts = [_over_block(pairs, tile, effects, *block) for block in pairs.blocks(effects.shape[1])]
    sums, highest, *of_targets = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    # Blocks summed against the tile's own highest logit; from tile to tile sums are against one reference.
    return sums * torch.exp2((highest - references).to(pairs.wide_dtype))[pairs.positions], highest, *of_targets


def _over_block(pairs: _Pairs, tile: slice, effects: Tensor, positions: slice, block: slice) -> tuple[Tensor, ...]:
    """The same of some positions, sums against the highest logit of the tile. `block`: the pairs at these positions."""
    residual_logits = pairs.residual_logits(positions, tile)  # [positions, width]
    highest = pairs.highest(residual_logits, tile, positions)
    # Positions are numbered from the block's first one, targets from the tile's first token.
    rows, features = pairs.positions[block] - positions.start, pairs.features[block]
    bias = pairs.unembedding.b[tile] * LOG2E
    inverse_scales, weights = pairs.inverse_scales[block], pairs.weights[block]
    targets = pairs.targets[block] - tile.start
    sums = pairs.by.exp2_sums(
        *(residual_logits, effects, bias, highest, rows, features, inverse_scales, weights),
        pairs.rows_at_once(len(bias)),
    )
    # Pairs whose true next token lies in this tile: its logit is computed once more, in the widest type.
    inside = ((targets >= 0) & (targets < len(bias))).nonzero().squeeze(1)  # [k]
    targets, written = targets[inside], effects[features[inside], targets[inside]]
    parts = residual_logits[rows[inside], targets], inverse_scales[inside], weights[inside], bias[targets]
    residual, inverse_scale, weight, constant = (part.to(pairs.wide_dtype) for part in parts)
    logits = pairs.unembedding.capped_(residual * inverse_scale + (written * weight + constant), LOG2E)
    return sums.to(pairs.wide_dtype), highest, inside + block.start, logits, written


class _VocabularySums:
    """Adds up tiles of the vocabulary: an online softmax whose reference is known before the first tile."""

    def __init__(self, pairs: _Pairs):
        self.pairs = pairs
        first = slice(0, REFERENCE_TOKENS)
        every = slice(0, len(pairs.x))
        # The highest logit of a few tokens is near enough to that of all for float64's range of exponents.
        self.references = pairs.highest(pairs.residual_logits(every, first), first, every)  # [p]
        self.highest = torch.full_like(self.references, -torch.inf)
        self.sums = torch.zeros(len(pairs), dtype=pairs.wide_dtype, device=pairs.positions.device)  # [p + n]
        self.logits, self.written = torch.empty_like(self.sums), torch.empty_like(pairs.f)

    def add(self, sums: Tensor, highest: Tensor, inside: Tensor, logits: Tensor, written: Tensor) -> None:
        """What `_over_tile` gives back."""
        self.sums += sums
        torch.maximum(self.highest, highest, out=self.highest)
        self.logits[inside], self.written[inside] = logits, written

    def effects(self) -> AblationEffects:
        pairs = self.pairs
        # -log2 p(target) = log2 of the sum of all 2**logit - the target's logit.
        bits = self.sums.log2() + self.references[pairs.positions] - self.logits
        losses = self._as_given(self._recompute_overflowed((bits / LOG2E).float()))
        written = self._as_given(self.written * pairs.f)
        # In the order in which pairs were given the clean ones, one a position, come first.
        count = len(pairs.x)
        clean, without = losses[:count][pairs.given_positions], losses[count:]
        return AblationEffects(clean, clean - without, written[count:])

    def _as_given(self, values: Tensor) -> Tensor:
        """Values of pairs in the order in which they were given: the inverse of the sort."""
        unsorted = torch.empty_like(values)
        unsorted[self.pairs.order] = values
        return unsorted

    def _recompute_overflowed(self, losses: Tensor) -> Tensor:
        """Recomputes the rows whose logits left the range of exp2, by an ablation or far from the reference. [p + n]"""
        pairs = self.pairs
        share = self.sums * torch.exp2((self.references - self.highest).to(pairs.wide_dtype))[pairs.positions]
        # `not >`: NaN counts as lost too.
        lost = (~(share > FAINT) | ~share.isfinite()).nonzero().squeeze(1)
        for batch in lost.split(LEAST_POSITIONS):
            x = pairs.x[pairs.positions[batch]] - pairs.f[batch, None] * pairs.e[pairs.features[batch]]  # [k, d_model]
            losses[batch] = pairs.unembedding.losses(x, pairs.targets[batch])
        return losses


def _widest_dtype(device) -> torch.dtype:
    """What sums over the vocabulary are kept in."""
    return torch.float32 if device.type == "mps" else torch.float64  # Apple's has no float64
