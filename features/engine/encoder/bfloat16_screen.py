"""Which entries of the encoder's product can be active? Told by a product in half the precision, without a miss.

Where bfloat16 multiplies faster than float32, the product p = w h + b is taken in bfloat16 first, and only what it
cannot rule out is computed in float32. With w = w' + dw and h = h' + dh, primes rounded to bfloat16,

    |w h - w' h'|  <=  |dh| |w| + |h'| |dw|            Cauchy-Schwarz, |.| the length of a vector,
    |rounding of a sum of n products|  <=  n u |w| |h|  u = 2**-24, in the one product and in the other,
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
from ..kernels.sparse import places_of
from ..sae.sae import SparseAutoencoder

UNIT = 2.0**-24  # half the distance of 1 to the next float32
UP = 1 + 2.0**-7  # what is rounded to bfloat16 after this factor has not become smaller
EXTRA, ALIGNED = 6, 32  # columns that carry bias and margin; the width is filled up to a multiple
BLOCK_BYTES = 64 << 20  # of the product held at a time
TOKENS = 128  # prepared at a time: what that takes stays in the cache


class Screen:
    """The bfloat16 copy of an encoder's weights with the columns of its margin."""

    def __init__(self, sae: SparseAutoencoder, mean: Tensor):
        """`mean` [d_in] is taken off every activation; any value is right, one near theirs lets fewer through."""
        d_in, self.d_sae = sae.config.d_in, sae.config.d_sae
        self.d_in, self.mean = d_in, mean
        self.slack = slack_of(d_in)
        self._scratch, self._room = Scratch(), Scratch()
        sum_in_float32(sae.device)
        width = -(-(d_in + EXTRA) // ALIGNED) * ALIGNED
        self.rows = torch.zeros(self.d_sae, width, dtype=torch.bfloat16, device=sae.device)
        for start in range(0, self.d_sae, 4096):
            self._fill(sae, slice(start, start + 4096))

    def _fill(self, sae: SparseAutoencoder, part: slice) -> None:
        rows, (W, length, bias, size) = self.rows[part], margins_of(sae, self.mean, part)
        rows[:, : self.d_in] = W
        lost = length_of(W - rows[:, : self.d_in].float())
        own = rows[:, self.d_in :]
        own[:, 0], own[:, 1], own[:, 2] = _three_parts(bias)
        own[:, 3], own[:, 4], own[:, 5] = (_up(value) for value in (length, lost, self.slack * size))

    def candidates(self, hook: Tensor) -> Tensor:
        """Every entry that can be active, and some that are not: feature * tokens + token, ascending. [n] int64

        hook [tokens, d_in] float32.
        """
        found = [_positive(product).add_(part.start * len(hook)) for part, product in self.products(hook)]
        return torch.cat(found) if found else torch.zeros(0, dtype=torch.long, device=hook.device)

    def products(self, hook: Tensor, most: int = BLOCK_BYTES) -> Iterator[tuple[slice, Tensor]]:
        """Some features at a time, and the numbers that are above zero where they can be active. [some, tokens]

        bfloat16, of so many bytes at most, good until the next ones are asked for.
        """
        columns, tokens = self._columns(hook), len(hook)
        step = max(1, most // (2 * tokens))
        for start in range(0, self.d_sae, step):
            rows = self.rows[start : start + step]
            room = self._scratch.of((len(rows), tokens), columns)
            yield slice(start, start + len(rows)), torch.mm(rows, columns, out=room)

    def _columns(self, hook: Tensor) -> Tensor:
        """The tokens with what their margins need. [width, tokens] bfloat16, each token contiguous"""
        columns = self._room.of((len(hook), self.rows.shape[1]), self.rows)
        step = len(hook) if hook.is_cuda else TOKENS
        for own, part in zip(columns.split(step), hook.split(step), strict=True):
            self._fill_columns(own, part - self.mean)
        return columns.t()

    def _fill_columns(self, own: Tensor, h: Tensor) -> None:
        low, margin = own[:, : self.d_in], own[:, self.d_in :]
        low.copy_(h)
        length, lost = length_of(h), length_of(h.sub(low))
        margin[:, :3] = 1
        margin[:, 3], margin[:, 4] = _up(lost + self.slack * length), _up(length + lost)
        margin[:, 5], margin[:, EXTRA:] = 1, 0


def margins_of(sae: SparseAutoencoder, mean: Tensor, part: slice) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of some features: weights [n, d_in] and their lengths; what is added to w (h - mean), the threshold taken off;
    and how large what it was made of is. [n] each"""
    W = sae.W_enc[:, part].t()
    length, bias = length_of(W), W @ mean + sae.b_enc[part]
    floor = sae.floor[part]
    return W, length, bias - floor, length * length_of(mean) + sae.b_enc[part].abs() + floor


def sum_in_float32(device: torch.device) -> None:
    """From now on: partial sums that are rounded to bfloat16 would break the bounds."""
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False


def slack_of(d_in: int) -> float:
    """Of rounded sums of so many products, per length times length."""
    return 4 * (d_in + EXTRA) * UNIT


def length_of(rows: Tensor) -> Tensor:
    """Not less than the lengths of the last dimension. [...]"""
    return rows.norm(dim=-1) * (1 + 2 * rows.shape[-1] * UNIT)


def _up(values: Tensor) -> Tensor:
    return (values * UP).bfloat16()


def _three_parts(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """bfloat16 numbers whose sum is the float32 value to its last bit."""
    first = values.bfloat16()
    rest = values - first.float()
    second = rest.bfloat16()
    return first, second, (rest - second.float()).bfloat16()


def _positive(product: Tensor) -> Tensor:
    """Flat places of the numbers above zero. [n] int64"""
    # A float above zero is an integer above zero, and a CPU compares those faster.
    return places_of(product > 0 if product.is_cuda else product.view(torch.int16) > 0)
