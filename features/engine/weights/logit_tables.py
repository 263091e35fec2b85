"""What the weights alone say of a feature: logit effects, neuron alignment.

Panels: the logits table and histogram of sae_vis and of the original page, and "neuron alignment".
"""

import numpy as np
import torch
from torch import Tensor

from ..bins import BINS, equal_edges

# The one implementation, whatever the device: what a GPU computes comes to the host, where compiled loops read it once.
from ..kernels.numba.topk import histogram_counts, row_extremes
from ..kernels.parallel import Scratch
from ..results import Alignment, Histogram, LogitTable, TokenValues
from ..subject import Subject

LOGITS = 10
ALIGNED = 10


def logit_tables(effects: Tensor) -> list[LogitTable]:
    """Of each row of logit effects [n, d_vocab]. Histograms are the same as reference.histogram: edges in float32."""
    width, rows = effects.shape[1], _padded_rows(effects)
    count = min(LOGITS, width)
    high, low = (np.full((len(rows), count), -np.inf, np.float32) for _ in range(2))  # [n, count] each
    high_tokens, low_tokens = (np.zeros(high.shape, np.int32) for _ in range(2))
    row_extremes(rows, width, high, high_tokens, low, low_tokens)
    # The lowest come negated.
    low = -low
    edges, counts = histograms(rows, low[:, 0], high[:, 0], width)
    return [
        LogitTable(
            TokenValues(high_tokens[n], high[n]), TokenValues(low_tokens[n], low[n]), Histogram(edges[n], counts[n])
        )
        for n in range(len(rows))
    ]


@torch.no_grad()
def tables_of(subject: Subject, features: np.ndarray, scratch: Scratch | None = None) -> list[LogitTable]:
    """Of each of `features` [n]; empty ones where logit effects cannot be read off the model.

    The effects, [n, d_vocab] float32 in memory of the scratch if there is one, are the same as reference.logit_effects:
    float32 rounding.
    """
    if subject.why_no_effects or not len(features):
        return [no_logit_table()] * len(features)
    unembedding = subject.model.unembedding
    # Centred: a final LayerNorm takes away what a direction adds to all of the stream alike.
    directions = unembedding.centre(subject.output_directions(features))  # [n, d_model]
    return logit_tables(unembedding.unscaled(directions, scratch))


def no_logit_table() -> LogitTable:
    """Of a feature whose logit effects could not be read off the model."""
    none = TokenValues(np.zeros(0, np.int32), np.zeros(0, np.float32))
    return LogitTable(none, none, Histogram(np.zeros(0, np.float32), np.zeros(0, np.int64)))


def _padded_rows(effects: Tensor) -> np.ndarray:
    """Rows with their padding, up to where the next one begins: contiguous, as the compiled loops want them, without a
    copy. [n, >= d_vocab]"""
    rows = effects.cpu()
    # A view of the first d_vocab columns of wider rows: widen it again, where the last row's padding is there too.
    if rows.stride(1) == 1 and rows.stride(0) >= rows.shape[1] and rows.storage_offset() == 0:
        capacity = rows.untyped_storage().nbytes() // 4
        if len(rows) * rows.stride(0) <= capacity:
            return rows.as_strided((len(rows), rows.stride(0)), (rows.stride(0), 1)).numpy()
    return rows.contiguous().numpy()


def histograms(
    values: np.ndarray, low: np.ndarray, high: np.ndarray, width: int, bins: int = BINS
) -> tuple[np.ndarray, np.ndarray]:
    """Of the first `width` numbers of each row, in equal bins from the lowest to the highest: edges [n, bins + 1],
    counts [n, bins]. Left edges are inside, as they are rounded to float32."""
    edges, counts = equal_edges(low, high, bins), np.zeros((len(values), bins), np.int64)
    histogram_counts(values, width, edges, counts)
    return edges, counts


def alignments(subject: Subject, features: np.ndarray) -> list[Alignment]:
    """Of each of `features` [n]; empty ones when the SAE does not read neurons.

    Same as reference.neuron_alignment: float32 rounding.
    """
    if not subject.reads_neurons:
        none = np.zeros(0, np.float32)
        return [Alignment(none.astype(np.int32), none, none)] * len(features)
    rows = subject.sae.W_dec[torch.as_tensor(features, device=subject.device)]  # [n, d_in]
    sizes, total = rows.abs(), rows.abs().sum(1, keepdim=True)
    top = sizes.topk(min(ALIGNED, rows.shape[1])).indices  # [n, ALIGNED]
    # A decoder row of zeros has shares of 0, not NaN.
    values = rows.gather(1, top).cpu().numpy()
    shares = (sizes.gather(1, top) / total.clamp_min(torch.finfo(total.dtype).tiny)).cpu().numpy()
    neurons = top.int().cpu().numpy()
    return [Alignment(*row) for row in zip(neurons, values, shares, strict=True)]
