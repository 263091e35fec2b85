"""What the weights alone say of a feature: logit effects, neuron alignment."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .compiled.extremes import count_between, extremes
from .results import Alignment, Histogram, TokenValues
from .statistics import BINS, equal_edges
from .subject import Subject

LOGITS = 10
ALIGNED = 10


@dataclass(frozen=True)
class LogitTable:
    """A feature's logit effects: the ends of the vocabulary and the spread of all of it."""

    positive: TokenValues
    negative: TokenValues
    histogram: Histogram


def logit_tables(effects: Tensor) -> list[LogitTable]:
    """Of each row of logit effects [n, d_vocab]."""
    rows = effects.contiguous().cpu().numpy()  # with gaps between rows the loops over them would be slower
    count = min(LOGITS, rows.shape[1])
    high, low = (np.full((len(rows), count), -np.inf, np.float32) for _ in range(2))
    high_at, low_at = (np.zeros(high.shape, np.int32) for _ in range(2))
    extremes(rows, high, high_at, low, low_at)
    low = -low
    edges, counts = histograms(rows, low[:, 0], high[:, 0])
    return [
        LogitTable(TokenValues(high_at[n], high[n]), TokenValues(low_at[n], low[n]), Histogram(edges[n], counts[n]))
        for n in range(len(rows))
    ]


def histograms(
    values: np.ndarray, low: np.ndarray, high: np.ndarray, bins: int = BINS
) -> tuple[np.ndarray, np.ndarray]:
    """Of each row [n, m], in equal bins from its lowest to its highest value: edges [n, bins + 1], counts [n, bins].
    Left edges are inside, as they are rounded to float32."""
    edges, counts = equal_edges(low, high, bins), np.zeros((len(values), bins), np.int64)
    count_between(values, edges, counts)
    return edges, counts


def alignments(subject: Subject, features: np.ndarray) -> list[Alignment]:
    """Of each of `features` [n]; empty ones when the SAE does not read neurons."""
    if not subject.reads_neurons:
        none = np.zeros(0, np.float32)
        return [Alignment(none.astype(np.int32), none, none)] * len(features)
    rows = subject.sae.W_dec[torch.as_tensor(features, device=subject.device)]
    sizes, total = rows.abs(), rows.abs().sum(1, keepdim=True)
    top = sizes.topk(min(ALIGNED, rows.shape[1])).indices
    values = rows.gather(1, top).cpu().numpy()
    shares = (sizes.gather(1, top) / total.clamp_min(torch.finfo(total.dtype).tiny)).cpu().numpy()
    neurons = top.int().cpu().numpy()
    return [Alignment(*row) for row in zip(neurons, values, shares, strict=True)]
