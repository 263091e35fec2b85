"""Loss effects of every shown activation: each position's logits once, however many features need them.

What sae_vis shows under each token of an example: how the feature changes the loss of the next one.
"""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..kernels.parallel import parallel_map
from ..subject import Subject
from .ablation import ablate

FORWARD_TOKENS = 2048  # through the model at a time: its activations stay in the cache
RESIDUAL_BYTES = 128 << 20  # of positions held at a time: features are taken to the logits once for each such batch
COLUMNS = ("loss", "loss_effect", "logit_effect")  # nats with the feature; with - without it; on the true next token


def effects_at(subject: Subject, rows: np.ndarray, shown: np.ndarray, progress: Callable) -> np.ndarray:
    """What shown entries [n] do to the prediction of the next token, as COLUMNS; NaN where their row ends, and where
    losses or the features' output could not be read off the model. [n, 3] f4

    `rows` [m, length] token ids; entries row by row; `progress(done, total)` in entries.
    Same as reference.losses, reference.loss_effect and reference.logit_effect_on_token: float32 rounding of logits.
    """
    effects = np.full((len(shown), len(COLUMNS)), np.nan, np.float32)
    if subject.why_no_losses:
        return effects
    predicting = np.flatnonzero(shown["position"] < rows.shape[1] - 1)
    # A flat index, row * length + position, names a place of the corpus.
    flat = shown["row"][predicting].astype(np.int64) * rows.shape[1] + shown["position"][predicting]
    for batch in _batches(shown["row"][predicting], flat, RESIDUAL_BYTES // (4 * subject.model.d_model)):
        report = partial(_report, progress, batch, len(predicting))
        effects[predicting[batch]] = _effects(subject, rows, shown[predicting[batch]], flat[batch], report)
    if subject.why_no_effects:
        effects[:, 1:] = np.nan  # losses are right
    return effects


def _batches(rows: np.ndarray, flat: np.ndarray, most: int) -> Iterator[slice]:
    """Slices of entries in whole rows, of at most `most` different positions together (or one row). Both ascending by
    row. [n], [n]"""
    if not len(rows):
        return
    begins = np.flatnonzero(np.diff(rows, prepend=-1))  # of each row's entries
    # Several features may be active at one position, which is held once: count different ones, summed up row by row.
    counts = np.cumsum([len(np.unique(part)) for part in np.split(flat, begins[1:])])
    start = 0
    while start < len(begins):
        before = counts[start - 1] if start else 0
        # The last row with which the batch does not pass `most`; at least one.
        stop = max(start + 1, int(np.searchsorted(counts, before + most, side="right")))
        yield slice(int(begins[start]), int(begins[stop]) if stop < len(begins) else len(rows))
        start = stop


def _report(progress: Callable, batch: slice, total: int, before: float, done: int, of: int) -> None:
    """Reports `done` of `of` of one half of a batch's work; `before`: 0 for the first half, 0.5 for the second."""
    progress(batch.start + int((batch.stop - batch.start) * (before + done / of / 2)), total)


def _effects(subject: Subject, rows, shown, flat, report: Callable) -> np.ndarray:
    """Of entries that all have a next token: their text is read, then the vocabulary gone through. [n, 3]"""
    device = subject.device
    flat, positions = np.unique(flat, return_inverse=True)  # [p] different positions, [n] which one each entry is at
    indices, features = np.unique(shown["feature"], return_inverse=True)  # [m] different features, [n]
    targets = rows[flat // rows.shape[1], flat % rows.shape[1] + 1].astype(np.int64)  # [p]
    arrays = (positions, features, targets, shown["value"].copy())  # torch refuses a field's strides
    positions, features, targets, values = (torch.from_numpy(array).to(device) for array in arrays)
    with parallel_map(device) as run:
        residuals, scales = _residuals(subject, rows, flat, run, partial(report, 0))
        directions = subject.output_directions(indices)  # [m, d_model]
        effects = ablate(
            *(
                subject.model.unembedding,
                residuals,
                targets,
                directions,
                positions,
                features,
                values * scales[positions],
            ),
            run=run,
            progress=partial(report, 0.5),
        )
    return torch.stack([effects.losses, effects.on_loss, effects.on_logit], 1).cpu().numpy()


def _residuals(subject: Subject, rows, flat: np.ndarray, run: Callable, progress: Callable) -> tuple[Tensor, Tensor]:
    """Of positions [p], ascending flat indices: final residuals [p, d_model], and what a unit of activation counts
    there (Subject.output_scale) [p]."""
    needed, step = np.unique(flat // rows.shape[1]), max(1, FORWARD_TOKENS // rows.shape[1])
    # Positions of `step` rows at a time: those from the first such row's first place on.
    starts = np.searchsorted(flat, needed[::step] * rows.shape[1]).tolist()
    parts = [slice(*ends) for ends in zip(starts, [*starts[1:], len(flat)], strict=True)]
    residuals = torch.empty(len(flat), subject.model.d_model, device=subject.device)  # filled where it lies: large
    scales = torch.empty(len(flat), device=subject.device)
    tasks = (partial(_forward, subject, rows, flat[part]) for part in parts)
    for part, result in zip(parts, run(tasks), strict=True):
        residuals[part], scales[part] = result
        progress(part.stop, len(flat))
    return residuals, scales


@torch.no_grad()
def _forward(subject: Subject, rows: np.ndarray, flat: np.ndarray) -> tuple[Tensor, Tensor]:
    """Residuals [p, d_model] and scales [p] of some positions, from their whole rows."""
    used, row = np.unique(flat // rows.shape[1], return_inverse=True)
    hook, residual = subject.activations_and_residual(rows[used].astype(np.int64))
    # The same positions among the rows that went through the model.
    chosen = torch.from_numpy(row * rows.shape[1] + flat % rows.shape[1]).to(subject.device)
    return residual.flatten(0, 1)[chosen], subject.output_scale(hook.flatten(0, 1)[chosen])
