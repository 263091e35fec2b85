"""Do a model and an SAE give the numbers that were published of them?

Published logits come from an unembedding centred over the vocabulary; ours are not, so a feature's mean is taken
away first. Published losses leave out the unembedding's bias: loss effects differ a little for that alone.
"""

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from .logits import Directions
from .ranking import analyse
from .subject import Subject

TOLERANCE = {  # what the pages print, rounded, and a little for float32
    "logits": 0.006,
    "alignment": 0.0006,
    "activations": 0.002,
    "act_size": 0.001,
    "loss_effect": 0.005,
}


@dataclass(frozen=True)
class Compared:
    """One kind of number: how many, and how far off."""

    kind: str
    numbers: int
    largest: float
    beyond: int  # further off than the tolerance

    @property
    def tolerance(self) -> float:
        return TOLERANCE[self.kind]


def read_published(path) -> dict:
    return json.loads(gzip.decompress(Path(path).read_bytes()))


def compare(subject: Subject, published: dict) -> list[Compared]:
    """Each kind of published number against the same one of `subject`."""
    return [_compared(kind, published[kind], OURS[kind](subject, published)) for kind in TOLERANCE]


def _compared(kind: str, numbers: list, ours: np.ndarray) -> Compared:
    off = np.abs(np.array([number[-1] for number in numbers]) - ours)
    off[np.isnan(off)] = np.inf  # a number that was published and is not there
    return Compared(kind, len(off), float(off.max(initial=0)), int((off > TOLERANCE[kind]).sum()))


def _logits(subject, published):
    features, tokens = _columns(published["logits"], 2)
    chosen, which = np.unique(features, return_inverse=True)
    effects = Directions.of(subject.model.head, subject.output_directions(chosen)).effects
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
