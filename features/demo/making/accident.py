"""What does a dictionary look like whose training lost its way? A short run in which that is provoked, to be seen.

Neurons as they are, not less their mean; then, after a healthy beginning, a higher rate and more features a token from
one step to the next, with an optimiser that remembers nothing. What fires rarely drifts along one direction
(engine/weights/health.py measures it).
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from features.engine.model.one_layer import OneBlockModel
from features.engine.sae.sae import SparseAutoencoder
from features.engine.weights.health import common_direction

from . import train_sae
from .sae.run import SAESettings, SAETraining

TIMES_RATE = (3.0, 10.0, 30.0)  # the rate from then on, tried one after another until the encoder columns are as alike
ENOUGH = 0.3  # mean cosine of each two encoder columns
TIMES_K = 1.25


@dataclass(frozen=True)
class Course:
    """How long, and of how many features."""

    features: int = 1024
    k: float = 30.0
    before: int = 1_200_000  # healthy tokens
    between: int = 250_000  # from the accident to the second checkpoint
    after: int = 500_000  # from there to the third


@dataclass
class Accident:
    """One try."""

    times_rate: float
    cosine: float  # at the end
    checkpoints: list[tuple[int, SparseAutoencoder]]  # tokens read and the SAE: before, on the way, at the end


def provoke(
    model: OneBlockModel,
    rows: np.ndarray,
    path: Path,
    settings: SAESettings,
    course: Course,
    report: Callable[[str], None] = print,
) -> Accident:
    """The first try whose encoder columns end as alike as ENOUGH, or the worst of them.

    The healthy beginning is saved at `path`; `settings` are those of the good run.
    """
    healthy = replace(
        settings,
        features=course.features,
        k=course.k,
        start_k=min(settings.start_k, 3 * course.k),
        anneal=course.before // 2,
        tokens=course.before,
        decay=1e-6,  # the rate stays up: nothing ends here
        centred=False,
        watched=False,
        checkpoints=(),
    )
    before = train_sae.train(model, rows, path, healthy, report=report)
    tries: list[Accident] = []
    for times in TIMES_RATE:
        tries.append(lose_way(before, times, course))
        report(f"accident: {times:g} times the rate, mean cosine of encoder columns {tries[-1].cosine:.3f}")
        if tries[-1].cosine >= ENOUGH:
            break
    return max(tries, key=lambda tried: tried.cosine)


def lose_way(before: SAETraining, times_rate: float, course: Course) -> Accident:
    """One try, from the same beginning."""
    s = before.settings
    total = before.done + course.between + course.after
    run = SAETraining(
        before.model, before.rows, replace(s, rate=s.rate * times_rate, k=s.k * TIMES_K, anneal=1, tokens=total)
    )
    for name, weight in run.weights.items():
        weight.copy_(before.weights[name])
    run.done, run.threshold, run.recent = before.done, before.threshold, deepcopy(before.recent)
    checkpoints = [kept(before)]
    for until in (before.done + course.between, total):
        while run.done < until:
            run.step()
        checkpoints.append(kept(run))
    return Accident(times_rate, cosine_of(run), checkpoints)


def kept(run: SAETraining) -> tuple[int, SparseAutoencoder]:
    """Tokens read, and the SAE as it is now."""
    return run.done, deepcopy(run.finished())


def cosine_of(run: SAETraining) -> float:
    """Mean cosine of each two of its encoder columns."""
    found = common_direction(run.weights["W_enc"], np.arange(run.settings.features))
    return found.mean_cosine if found else 0.0
