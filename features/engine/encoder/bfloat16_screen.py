"""Which entries of the encoder's product can be active? Safe screening by a product in half the precision.

Safe screening (El Ghaoui, Viallon and Rabbani, 2012): a cheap bound rules entries out, and never one that is active.
Where bfloat16 multiplies faster than float32, the product p = w h + b is taken in bfloat16 first, and only what it
cannot rule out is computed in float32. With w = w' + dw and h = h' + dh, primes rounded to bfloat16,

    |w h - w' h'|  <=  |dh| |w| + |h'| |dw|            Cauchy-Schwarz, |.| the length of a vector,
    |rounding of a sum of n products|  <=  n u |w| |h|  u = 2**-24, in the one product and in the other
                                                        (Higham, Accuracy and Stability of Numerical Algorithms, 3.1),
    so p > threshold only if  w' h' + b - threshold + margin > 0,
    margin = |dh| |w| + |h'| |dw| + 4 n u (|w| |h| + |b| + threshold).

Every term of the margin is a number of the token times a number of the feature, so that it rides along in the product
as further columns; what is left to ask of an entry is its sign, which no rounding of the result can change. Columns
are rounded up. The tokens' mean is taken off h and added to b: the margin is about lengths, and h becomes shorter.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from ..kernels.parallel import Scratch
from ..kernels.sparse import flat_nonzero
from ..sae.sae import SparseAutoencoder

UNIT = 2.0**-24  # u, half the distance of 1 to the next float32
UP = 1 + 2.0**-7  # (1 + 2**-7)(1 - 2**-8) > 1: what is rounded to bfloat16 after this factor has not become smaller
EXTRA, ALIGNED = 6, 32  # columns that carry bias and margin; the width is filled up to a multiple
BLOCK_BYTES = 64 << 20  # of the product held at a time
TOKENS = 128  # prepared at a time: what that takes stays in the cache
FEATURES = 4096  # prepared at a time


class Bfloat16Screen:
    """The bfloat16 copy of an encoder's weights with the columns of its margin."""

    def __init__(self, sae: SparseAutoencoder, mean: Tensor):
        """`mean` [d_in] is taken off every activation; any value is right, one near theirs lets fewer through."""
        d_in, self.d_sae = sae.config.d_in, sae.config.d_sae
        self.d_in, self.mean = d_in, mean
        self.slack = slack_of(d_in)
        self._product_scratch, self._column_scratch = Scratch(), Scratch()
        sum_in_float32(sae.device)
        width = -(-(d_in + EXTRA) // ALIGNED) * ALIGNED
        self.rows = torch.zeros(self.d_sae, width, dtype=torch.bfloat16, device=sae.device)  # [d_sae, width]
        for start in range(0, self.d_sae, FEATURES):
            self._fill_rows(sae, slice(start, start + FEATURES))

    def _fill_rows(self, sae: SparseAutoencoder, features: slice) -> None:
        rows, (W, length, bias, size) = self.rows[features], margins_of(sae, self.mean, features)
        rows[:, : self.d_in] = W
        lost = length_of(W - rows[:, : self.d_in].float())  # |dw|, [n]
        margin = rows[:, self.d_in :]
        # b - threshold: three bfloat16 columns hold all 24 bits of a float32, so that it loses nothing.
        margin[:, 0], margin[:, 1], margin[:, 2] = _three_parts(bias)
        # |w| times the token's |dh| + 4 n u |h|; |dw| times its |h'|; 4 n u (|w| |mean| + |b| + threshold) times 1.
        margin[:, 3], margin[:, 4], margin[:, 5] = (_up(value) for value in (length, lost, self.slack * size))

    def candidates(self, hook: Tensor) -> Tensor:
        """Every entry that can be active, and some that are not: feature * tokens + token, ascending. [n] int64

        hook [tokens, d_in] float32.
        """
        parts = [_positive(product).add_(part.start * len(hook)) for part, product in self.products(hook)]
        return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.long, device=hook.device)

    def products(self, hook: Tensor, most: int = BLOCK_BYTES) -> Iterator[tuple[slice, Tensor]]:
        """A block of features at a time, and bounds that are above zero where they can be active. [features, tokens]

        bfloat16, of at most `most` bytes, valid until the next block is asked for.
        """
        columns, tokens = self._columns(hook), len(hook)
        step = max(1, most // (2 * tokens))
        for start in range(0, self.d_sae, step):
            rows = self.rows[start : start + step]
            out = self._product_scratch.buffer((len(rows), tokens), columns)
            yield slice(start, start + len(rows)), torch.mm(rows, columns, out=out)

    def _columns(self, hook: Tensor) -> Tensor:
        """The tokens with what their margins need. [width, tokens] bfloat16, each token contiguous"""
        columns = self._column_scratch.buffer((len(hook), self.rows.shape[1]), self.rows)  # [tokens, width]
        step = len(hook) if hook.is_cuda else TOKENS
        for target, part in zip(columns.split(step), hook.split(step), strict=True):
            self._fill_columns(target, part - self.mean)
        return columns.t()

    def _fill_columns(self, target: Tensor, h: Tensor) -> None:
        rounded, margin = target[:, : self.d_in], target[:, self.d_in :]
        rounded.copy_(h)
        length, lost = length_of(h), length_of(h.sub(rounded))  # |h| and |dh|, [n]
        # The three parts of the feature's bias are added as they are.
        margin[:, :3] = 1
        # |dh| + 4 n u |h|, and |h'| by the triangle inequality |h'| <= |h| + |dh|.
        margin[:, 3], margin[:, 4] = _up(lost + self.slack * length), _up(length + lost)
        margin[:, 5], margin[:, EXTRA:] = 1, 0


def margins_of(sae: SparseAutoencoder, mean: Tensor, features: slice) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of some features: weights [n, d_in] and their lengths |w|; w mean + b - threshold, what is added to w (h - mean);
    and |w| |mean| + |b| + threshold, which bounds its rounding. [n] each"""
    W = sae.W_enc[:, features].t()  # [n, d_in]
    length, bias = length_of(W), W @ mean + sae.b_enc[features]
    floor = sae.floor[features]
    return W, length, bias - floor, length * length_of(mean) + sae.b_enc[features].abs() + floor


def sum_in_float32(device: torch.device) -> None:
    """From now on, in this process: partial sums that are rounded to bfloat16 would break the bounds."""
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False


def slack_of(d_in: int) -> float:
    """4 n u: bounds the rounding of both products of n terms, per length times length.

    |fl(x y) - x y| <= n u |x| |y| for each; twice that where tensor cores cut off instead of rounding.
    """
    return 4 * (d_in + EXTRA) * UNIT


def length_of(rows: Tensor) -> Tensor:
    """Not less than the lengths of the last dimension. [..., n] -> [...]"""
    # A computed norm of n numbers is at most (n / 2 + 1) u of itself too small, to first order; 2 n u makes up for it.
    return rows.norm(dim=-1) * (1 + 2 * rows.shape[-1] * UNIT)


def _up(values: Tensor) -> Tensor:
    """Not less than the values, which are >= 0, in bfloat16. [n]"""
    return (values * UP).bfloat16()


def _three_parts(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """bfloat16 numbers whose sum is the float32 value to its last bit: three times eight bits are its 24. [n] each"""
    first = values.bfloat16()
    rest = values - first.float()
    second = rest.bfloat16()
    return first, second, (rest - second.float()).bfloat16()


def _positive(product: Tensor) -> Tensor:
    """Flat indices of the numbers above zero. [n] int64"""
    # A float above zero is an integer above zero, and a CPU compares those faster.
    return flat_nonzero(product > 0 if product.is_cuda else product.view(torch.int16) > 0)
