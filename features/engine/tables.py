"""What the weights alone say of a feature: logit effects, neuron alignment, decoder neighbours."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .logits import Directions
from .results import Alignment, Histogram, Neighbours, TokenValues
from .statistics import histogram
from .subject import Subject

LOGITS = 10
ALIGNED = 10
NEIGHBOURS = 10


@dataclass(frozen=True)
class LogitTable:
    """A feature's logit effects: the ends of the vocabulary and the spread of all of it."""

    positive: TokenValues
    negative: TokenValues
    histogram: Histogram


def logit_tables(subject: Subject, features: np.ndarray) -> list[LogitTable]:
    """Of each of `features` [n]."""
    effects = Directions.of(subject.model.head, subject.output_directions(features)).effects
    count = min(LOGITS, effects.shape[1])
    highest, lowest = effects.topk(count), effects.topk(count, largest=False)
    ascending = np.sort(effects.cpu().numpy(), axis=1)
    return [
        LogitTable(_token_values(highest, n), _token_values(lowest, n), histogram(row, row[0], row[-1]))
        for n, row in enumerate(ascending)
    ]


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
