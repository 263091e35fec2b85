"""What the weights alone say of a feature: logit effects, neuron alignment, decoder neighbours."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .results import Alignment, Histogram, Neighbours, TokenValues
from .statistics import BINS
from .subject import Subject

LOGITS = 10
ALIGNED = 10
NEIGHBOURS = 10
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
    highest, lowest = effects.topk(count), effects.topk(count, largest=False)
    parts = zip(*(histograms(part) for part in effects.split(ROWS)), strict=True)
    edges, counts = (np.concatenate(kind) for kind in parts)
    return [
        LogitTable(_token_values(highest, n), _token_values(lowest, n), Histogram(edges[n], counts[n]))
        for n in range(len(effects))
    ]


def histograms(values: Tensor, bins: int = BINS) -> tuple[np.ndarray, np.ndarray]:
    """Of each row [n, m], in equal bins from its lowest value to its highest: edges [n, bins + 1], counts [n, bins].

    The bin is worked out, then moved by one where the edges, as they are rounded, say otherwise: left edges are inside.
    """
    low, high = values.aminmax(dim=1)
    ends = zip(low.cpu().numpy(), high.cpu().numpy(), strict=True)
    edges = np.stack([np.linspace(*pair, bins + 1, dtype=np.float32) for pair in ends])
    known = torch.from_numpy(edges).to(values.device)
    width = ((high - low) / bins).clamp_min(torch.finfo(values.dtype).tiny)[:, None]
    at = (values - low[:, None]).div_(width).long().clamp_(0, bins - 1)
    at -= (values < known.gather(1, at)).long()
    at += ((values >= known.gather(1, at + 1)) & (at < bins - 1)).long()
    at.masked_fill_((low == high)[:, None], bins - 1)  # the last bin alone has its right edge inside
    rows = torch.arange(len(values), device=values.device)[:, None]
    counts = torch.bincount((at + rows * bins).view(-1), minlength=len(values) * bins)
    return edges, counts.view(len(values), bins).cpu().numpy()


def _token_values(top, row: int) -> TokenValues:
    return TokenValues(top.indices[row].int().cpu().numpy(), top.values[row].cpu().numpy())


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


def neighbours(cosines: Tensor, features: np.ndarray) -> list[Neighbours]:
    """Features with the most similar decoder rows, of each of `features` [n]. cosines [n, d_sae] of all rows."""
    others = cosines.clone()
    others[torch.arange(len(features)), torch.from_numpy(features)] = -torch.inf
    top = others.topk(min(NEIGHBOURS, others.shape[1] - 1))
    indices, values = top.indices.int().cpu().numpy(), top.values.cpu().numpy()
    return [Neighbours(*row) for row in zip(indices, values, strict=True)]
