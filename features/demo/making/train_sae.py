"""How does the sparse autoencoder learn from the language model's neurons? Resumable to the bit, and back to the last
checkpoint where it loses its way."""

import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from features.engine.model.one_layer import OneBlockModel

from . import checkpoints
from .sae.run import SAESettings, SAETraining

MOST_RETURNS = 3  # to one and the same checkpoint


class Lost(ValueError):
    """Training does not get past a point."""


def train(
    model: OneBlockModel,
    rows: np.ndarray,  # [rows, n_ctx]
    path: Path,
    settings: SAESettings,
    on_checkpoint: Callable[[SAETraining, int], None] = lambda run, number: None,
    save_every: float = 120.0,
    report: Callable[[str], None] = print,
    report_every: int = 100,
) -> SAETraining:
    """Trains to the end, from the state at `path` if there is one; saves it there every so many seconds while the error
    is calm.

    `on_checkpoint` is called once after each share of the tokens that the settings name. Raises Lost where the error
    jumps, or is no longer finite, time and again after the same checkpoint; ValueError where the state was begun with
    other settings.
    """
    run, saved, returns = begin(model, rows, path, settings), time.monotonic(), 0
    steps, reported = [], time.monotonic()
    while run.done < settings.tokens:
        before = run.done
        step = run.step()
        steps.append((step.neuron_error, step.effect_error, float(step.fired.sum())))
        if lost(run, step.neuron_error):
            returns += 1
            run, steps = go_back(run, path, returns, report), []
            continue
        for number, share in enumerate(settings.checkpoints):
            if before < share * settings.tokens <= run.done:
                on_checkpoint(run, number)
        if len(steps) == report_every:
            report(progress(run, steps, time.monotonic() - reported))
            steps, reported = [], time.monotonic()
        if run.watch.calm and time.monotonic() - saved > save_every:
            checkpoints.save(path, checkpoints.state_of(run))
            saved, returns = time.monotonic(), 0
    checkpoints.save(path, checkpoints.state_of(run))
    return run


def begin(model: OneBlockModel, rows: np.ndarray, path: Path, settings: SAESettings) -> SAETraining:
    """A run from the state at `path`, or a new one, whose first state is then there."""
    run = SAETraining(model, rows, settings)
    if state := checkpoints.load(path, settings.device):
        checkpoints.restore(run, state, path)
    else:
        checkpoints.save(path, checkpoints.state_of(run))
    return run


def lost(run: SAETraining, error: float) -> bool:
    """Whether the last step's error is no number, or the errors have jumped and are watched."""
    return not math.isfinite(error) or (run.settings.watched and run.watch.jumped)


def go_back(run: SAETraining, path: Path, returns: int, report: Callable[[str], None]) -> SAETraining:
    """The run as it was last saved, to read on behind the text on which it was lost. Raises Lost after MOST_RETURNS."""
    where, rise = run.done, run.watch.rise()
    if returns > MOST_RETURNS:
        raise Lost(
            f"After {where:,} tokens the unexplained share has jumped again, for the {returns}th time since the last "
            f"checkpoint ({path}). Begin anew in another folder with a lower rate."
        )
    skipped = run.skipped + run.done
    checkpoints.restore(run, checkpoints.load(path, run.settings.device), path)
    report(f"sae: the unexplained share is {rise:.2f} times what it was; from {where:,} back to {run.done:,} tokens")
    run.skipped = skipped - run.done
    return run


def progress(run: SAETraining, steps: list[tuple[float, float, float]], seconds: float) -> str:
    """One line: how far, how good, how fast, how long still. Adds a point to the curve.

    `steps`: neuron error, effect error and number of activations of each of the last ones.
    """
    per_step = run.settings.batch * run.rows.shape[1]
    neuron_error, effect_error, fired = np.mean(steps, axis=0)
    needy = run.needy()
    run.curve.append([run.done, float(neuron_error), float(effect_error), float(fired / per_step), needy])
    speed = len(steps) * per_step / seconds
    return (
        f"sae {run.done / 1e6:.2f} of {run.settings.tokens / 1e6:.0f} M tokens, "
        f"unexplained {neuron_error:.3f} of the neurons, {effect_error:.3f} of their effect, "
        f"{fired / per_step:.1f} features a token, {needy} need help, threshold {run.threshold:.3f}, "
        f"{speed:,.0f} tokens/s, {(run.settings.tokens - run.done) / speed / 60:.0f} min left"
    )
