"""Do a model and an SAE give the numbers that were published of them?

Published logits come from an unembedding centred over the vocabulary; ours are not, so a feature's mean is taken
away first. Published losses leave out the unembedding's bias: loss effects differ a little for that alone.
"""

import gzip
import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from ..engine.prompt import analyse
from ..engine.subject import Subject

TOLERANCE = {  # what the pages print, rounded, and a little for float32
    "logits": 0.006,
    "alignment": 0.0006,
    "activations": 0.002,
    "act_size": 0.001,
    "loss_effect": 0.005,
    "order by act_size": 0.001,
    "order by loss_effect": 0.005,
}
RANKED = 128  # the features that the published prompt page ranks: the first so many


@dataclass(frozen=True)
class Compared:
    """One kind of number: how many, and how far off."""

    kind: str
    numbers: int
    largest: float
    beyond: int  # further off than the tolerance
    tolerance: float


def read_published(path) -> dict:
    return json.loads(gzip.decompress(Path(path).read_bytes()))


def compare(subject: Subject, published: dict) -> list[Compared]:
    """Each kind of published number against the same one of `subject`, and the order of features on the prompt."""
    values = [compared(kind, _said(published[kind]) - OURS[kind](subject, published), TOLERANCE[kind]) for kind in OURS]
    prompt = analyse(subject, published["prompt"])
    return values + [
        compared(f"order by {metric}", out_of_order(prompt, published, metric), TOLERANCE[f"order by {metric}"])
        for metric in ("act_size", "loss_effect")
    ]


def compared(kind: str, off, tolerance: float) -> Compared:
    """How far off some numbers are; NaN is one that was published and is not there."""
    off = np.abs(np.asarray(off, dtype=np.float64))
    off = np.where(np.isnan(off), np.inf, off)
    return Compared(kind, len(off), float(off.max(initial=0)), int((off > tolerance).sum()), tolerance)


def _said(numbers: list) -> np.ndarray:
    return np.array([number[-1] for number in numbers])


def out_of_order(prompt, published: dict, metric: str, quantiles=None) -> list[float]:
    """For each token of the prompt: by how much the published order of its features is not ours. 0: it is.

    A feature that is only here counts with its activation, one that is only there as infinitely far off.
    `quantiles(features, activations)` for act_quantile.
    """
    first = int(metric == "loss_effect")  # nothing predicts the first token
    return [_out_of_order(prompt, published, metric, quantiles, p) for p in range(first, len(published["prompt"]))]


def _out_of_order(prompt, published, metric, quantiles, position) -> float:
    at = position - (metric == "loss_effect")
    features, activations = (column[prompt.active(at)[0] < RANKED] for column in prompt.active(at))
    keys = {
        "act_size": lambda: -activations,
        "act_quantile": lambda: -quantiles(features, activations),
        "loss_effect": lambda: prompt.effects_after(at, features, activations),
    }[metric]()
    ours = {feature: pair for feature, *pair in zip(features.tolist(), keys, activations, strict=True)}
    theirs = [number[1] for number in published[metric] if number[0] == position]
    if set(theirs) - set(ours):
        return np.inf
    steps = [ours[one][0] - ours[other][0] for one, other in pairwise(theirs)]
    return float(max([0.0, *steps, *(ours[feature][1] for feature in set(ours) - set(theirs))]))


def _logits(subject, published):
    features, tokens = _columns(published["logits"], 2)
    chosen, which = np.unique(features, return_inverse=True)
    unembedding = subject.model.unembedding
    effects = unembedding.unscaled(unembedding.centre(subject.output_directions(chosen)))
    effects = effects - effects.mean(1, keepdim=True)
    return effects[which, tokens].cpu().numpy()


def _alignment(subject, published):
    features, neurons = _columns(published["alignment"], 2)
    return subject.sae.W_dec[features, neurons].cpu().numpy()


@torch.no_grad()
def _activations(subject, published):
    features, rows, positions = _columns(published["activations"], 3)
    ours = subject.sae.encode(subject.activations(published["rows"]))
    return ours[rows, positions, features].cpu().numpy()


def _act_size(subject, published):
    positions, features = _columns(published["act_size"], 2)
    return analyse(subject, published["prompt"]).matrix(features)[np.arange(len(features)), positions]


def _loss_effect(subject, published):
    positions, features = _columns(published["loss_effect"], 2)
    return analyse(subject, published["prompt"]).loss_effects(features)[np.arange(len(features)), positions]


def _columns(numbers: list, count: int) -> list[np.ndarray]:
    return [np.array([number[column] for number in numbers], dtype=np.int64) for column in range(count)]


OURS = {
    "logits": _logits,
    "alignment": _alignment,
    "activations": _activations,
    "act_size": _act_size,
    "loss_effect": _loss_effect,
}
