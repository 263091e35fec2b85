"""Loss effects of every shown activation: each position's logits once, however many features need them."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..kernels.parallel import parallel_map
from ..subject import Subject
from .ablation import ablate

FORWARD_TOKENS = 2048  # through the model at a time: its activations stay in the cache
RESIDUAL_BYTES = 128 << 20  # of positions held at a time: the features are taken to the logits once for each such lot
COLUMNS = ("loss", "loss_effect", "logit_effect")  # nats with the feature; with - without it; on the true next token


def effects_at(subject: Subject, rows: np.ndarray, shown: np.ndarray, progress: Callable) -> np.ndarray:
    """What shown entries [n] do to the prediction of the next token, as COLUMNS; NaN where their row ends. [n, 3] f4

    `rows` [m, length] token ids; entries row by row; `progress(done, total)` in entries.
    Same as reference.losses, reference.loss_effect and reference.logit_effect_on_token: float32 rounding of logits.
    """
    found = np.full((len(shown), len(COLUMNS)), np.nan, np.float32)
    predicting = np.flatnonzero(shown["position"] < rows.shape[1] - 1)
    places = shown["row"][predicting].astype(np.int64) * rows.shape[1] + shown["position"][predicting]
    for part in _lots(shown["row"][predicting], places, RESIDUAL_BYTES // (4 * subject.model.d_model)):
        told = partial(_told, progress, part, len(predicting))
        found[predicting[part]] = _effects(subject, rows, shown[predicting[part]], places[part], told)
    return found


def _lots(rows: np.ndarray, places: np.ndarray, most: int) -> Iterator[slice]:
    """Slices of entries in whole rows, of at most so many places together (or one row). Both ascending by row."""
    if not len(rows):
        return
    begins = np.flatnonzero(np.diff(rows, prepend=-1))
    counts = np.cumsum([len(np.unique(part)) for part in np.split(places, begins[1:])])
    start = 0
    while start < len(begins):
        before = counts[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(counts, before + most, side="right")))
        yield slice(int(begins[start]), int(begins[stop]) if stop < len(begins) else len(rows))
        start = stop


def _told(progress: Callable, part: slice, total: int, before: float, done: int, of: int) -> None:
    """A half of a lot's work is done as far as `done` of `of`, `before` of the lot behind it."""
    progress(part.start + int((part.stop - part.start) * (before + done / of / 2)), total)


def _effects(subject: Subject, rows, shown, places, told: Callable) -> np.ndarray:
    """Of entries that all have a next token: their text is read, then the vocabulary gone through. [n, 3]"""
    device = subject.device
    places, at = np.unique(places, return_inverse=True)
    features, which = np.unique(shown["feature"], return_inverse=True)
    targets = rows[places // rows.shape[1], places % rows.shape[1] + 1].astype(np.int64)
    parts = (at, which, targets, shown["value"].copy())  # torch refuses a field's strides
    at, which, targets, values = (torch.from_numpy(part).to(device) for part in parts)
    with parallel_map(device) as run:
        residuals, stretch = _residuals(subject, rows, places, run, partial(told, 0))
        directions = subject.output_directions(features)
        found = ablate(
            *(subject.model.head, residuals, targets, directions, at, which, values * stretch[at]),
            run=run,
            progress=partial(told, 0.5),
        )
    return torch.stack([found.losses, found.on_loss, found.on_logit], 1).cpu().numpy()


def _residuals(subject: Subject, rows, places: np.ndarray, run: Callable, progress: Callable) -> tuple[Tensor, Tensor]:
    """Of positions [n] in ascending order: final residuals [n, d_model], and what an input norm took off the
    activations [n], 1 without one."""
    needed, few = np.unique(places // rows.shape[1]), max(1, FORWARD_TOKENS // rows.shape[1])
    starts = np.searchsorted(places, needed[::few] * rows.shape[1]).tolist()
    parts = [slice(*ends) for ends in zip(starts, [*starts[1:], len(places)], strict=True)]
    residuals = torch.empty(len(places), subject.model.d_model, device=subject.device)  # filled where it lies: large
    stretch = torch.empty(len(places), device=subject.device)
    for part, found in zip(parts, run(partial(_at, subject, rows, places[part]) for part in parts), strict=True):
        residuals[part], stretch[part] = found
        progress(part.stop, len(places))
    return residuals, stretch


@torch.no_grad()
def _at(subject: Subject, rows: np.ndarray, places: np.ndarray) -> tuple[Tensor, Tensor]:
    own, row = np.unique(places // rows.shape[1], return_inverse=True)
    hook, residual = subject.activations_and_residual(rows[own].astype(np.int64))
    at = torch.from_numpy(row * rows.shape[1] + places % rows.shape[1]).to(subject.device)
    return residual.flatten(0, 1)[at], subject.sae.output_scale(hook.flatten(0, 1)[at])[:, 0]
