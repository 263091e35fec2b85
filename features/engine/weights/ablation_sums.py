"""The two inner loops of ablations, by compiled loops or by tensor calls, and which of them is used where."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

COMPILED_FROM = 1 << 26  # logits of pairs; fewer are done by tensor calls before the compiled loops are loaded
DOT_ROWS = 4096  # pairs whose rows are held at a time


@dataclass(frozen=True)
class Implementation:
    """row_dots and exp2_sums of one kind, with the same arguments and results up to float32 rounding."""

    row_dots: Callable[..., Tensor]
    exp2_sums: Callable[..., Tensor]


def implementation_for(device: torch.device, logits: int, cap: float | None = None) -> Implementation:
    """Loops on a CPU where there are many logits, tensors elsewhere: the one place that chooses.

    `cap`, in bits, where the model caps its logits: the loops know none.
    """
    if cap is not None:
        return Implementation(_row_dots_by_tensors, partial(_exp2_sums_by_tensors, cap=cap))
    loops = device.type == "cpu" and logits >= COMPILED_FROM
    return Implementation(_row_dots_by_loops, _exp2_sums_by_loops) if loops else BY_TENSORS


def _row_dots_by_tensors(left: Tensor, right: Tensor, left_rows: Tensor, right_rows: Tensor) -> Tensor:
    """Inner products of left[left_rows] and right[right_rows], without holding all pairs at once. [n]"""
    # Gathered rows of DOT_ROWS pairs at a time: of all pairs they would be larger than both matrices.
    parts = zip(left_rows.split(DOT_ROWS), right_rows.split(DOT_ROWS), strict=True)
    return torch.cat([(left[i] * right[j]).sum(-1) for i, j in parts])


def _row_dots_by_loops(left: Tensor, right: Tensor, left_rows: Tensor, right_rows: Tensor) -> Tensor:
    from ..kernels.numba.exp2_sums import row_dots

    dots = left.new_empty(len(left_rows))
    row_dots(*(array.numpy() for array in (left, right, left_rows, right_rows, dots)))
    return dots


def _exp2_sums_by_tensors(
    residual_logits, effects, bias, references, positions, features, inverse_scales, weights, rows: int, cap=None
) -> Tensor:
    """Of each pair, the sum over the vocabulary of 2**(logit - its position's reference). [n]

    residual_logits [p, v], effects [m, v], bias [v], references [p]; positions, features, inverse_scales, weights [n].
    A pair's logit in bits is residual_logits * inverse_scale + effects * weight + bias, and cap * tanh(that / cap)
    where there is a cap. `rows` pairs at a time.
    """
    sums = []
    for part in (slice(start, start + rows) for start in range(0, len(positions), rows)):
        # In place, in the order scale, add, cap: [rows, v] is the largest array there is, and there is one of it.
        logits = effects.index_select(0, features[part]).mul_(weights[part, None]).add_(bias)  # [rows, v]
        logits.addcmul_(residual_logits.index_select(0, positions[part]), inverse_scales[part, None])
        if cap is not None:
            logits.div_(cap).tanh_().mul_(cap)
        sums.append(logits.sub_(references[positions[part], None]).exp2_().sum(1))
    return torch.cat(sums) if sums else weights.new_zeros(0)


def _exp2_sums_by_loops(
    residual_logits, effects, bias, references, positions, features, inverse_scales, weights, rows: int
) -> Tensor:
    """The same in one sweep, whatever `rows` says. [n] float64"""
    from ..kernels.numba.exp2_sums import exp2_sums

    sums = torch.empty(len(positions), dtype=torch.float64)
    arrays = residual_logits, effects, bias, references, positions, features, inverse_scales, weights, sums
    exp2_sums(*(array.numpy() for array in arrays))
    return sums


BY_TENSORS = Implementation(_row_dots_by_tensors, _exp2_sums_by_tensors)
