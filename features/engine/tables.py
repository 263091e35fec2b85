"""What the weights alone say of a feature: logit effects, neuron alignment."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .results import Alignment, Histogram, TokenValues
from .statistics import BINS, equal_edges, histogram
from .subject import Subject
from .topmost import topmost

LOGITS = 10
ALIGNED = 10
FINE = 256  # parts of a bin: what falls into the first or last is close to an edge, by far more than float32 rounds
ROWS = 16  # whose histograms are counted together: they stay in the cache


@dataclass(frozen=True)
class LogitTable:
    """A feature's logit effects: the ends of the vocabulary and the spread of all of it."""

    positive: TokenValues
    negative: TokenValues
    histogram: Histogram


def logit_tables(effects: Tensor) -> list[LogitTable]:
    """Of each row of logit effects [n, d_vocab]."""
    count = min(LOGITS, effects.shape[1])
    highest, lowest = topmost(effects, count), topmost(effects, count, largest=False)
    ends = (values.split(ROWS) for values in (effects, lowest[0][:, 0], highest[0][:, 0]))
    parts = zip(*(histograms(*part) for part in zip(*ends, strict=True)), strict=True)
    edges, counts = (np.concatenate(kind) for kind in parts)
    return [
        LogitTable(_token_values(highest, n), _token_values(lowest, n), Histogram(edges[n], counts[n]))
        for n in range(len(effects))
    ]


def histograms(values: Tensor, low: Tensor, high: Tensor, bins: int = BINS) -> tuple[np.ndarray, np.ndarray]:
    """Of each row [n, m], in equal bins from its lowest to its highest value: edges [n, bins + 1], counts [n, bins].

    Left edges are inside, as they are rounded to float32. Values close to an edge are compared with it, the others
    fall where a multiplication says.
    """
    edges = equal_edges(low.cpu().numpy(), high.cpu().numpy(), bins)
    scale = torch.where(high > low, bins * FINE / (high - low), 0.0)  # rows without width: all values are at an edge
    fine = (values * scale[:, None]).sub_((low * scale)[:, None]).to(torch.int16).cpu().numpy()
    counts = np.stack([np.bincount(row, minlength=(bins + 1) * FINE) for row in fine])
    counts = counts.reshape(len(fine), -1, FINE)[:, :bins, 1:-1].sum(2)
    at, columns = np.divmod(np.flatnonzero(((fine + 1) & (FINE - 1)) < 2), fine.shape[1])
    near = values.cpu().numpy()[at, columns]
    for n, part in enumerate(np.split(near, np.searchsorted(at, np.arange(1, len(counts))))):
        counts[n] += histogram(np.sort(part), edges[n]).counts
    return edges, counts


def _token_values(top: tuple[Tensor, Tensor], row: int) -> TokenValues:
    values, tokens = top
    return TokenValues(tokens[row].int().cpu().numpy(), values[row].cpu().numpy())


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
