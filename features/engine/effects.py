"""Loss effects of every shown activation: each position's logits once, however many features need them."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from .logits import Directions, Positions, effects_of_pairs
from .subject import Subject
from .threads import side_by_side

FORWARD_TOKENS = 2048  # through the model at a time: its activations stay in the cache
POSITION_BYTES = 32 << 20  # of positions' logits held at a time; progress is told after each such block
COLUMNS = ("loss", "loss_effect", "logit_effect")  # nats with the feature; with - without it; on the true next token


def effects_at(
    subject: Subject,
    rows: np.ndarray,
    shown: np.ndarray,
    features: np.ndarray,
    directions: Directions,
    progress: Callable,
) -> np.ndarray:
    """What shown entries [n] do to the prediction of the next token, as COLUMNS; NaN where their row ends. [n, 3] f4

    `rows` [m, length] token ids; `directions` of `features`, ascending, among which are the entries';
    `progress(done, total)` in entries.
    """
    found = np.full((len(shown), len(COLUMNS)), np.nan, np.float32)
    predicting = np.flatnonzero(shown["position"] < rows.shape[1] - 1)
    rows_at_once = max(1, POSITION_BYTES // (4 * subject.model.d_vocab * rows.shape[1]))
    done = 0
    with side_by_side(subject.device) as run:
        blocks = _blocks(shown["row"][predicting], rows_at_once)
        work = (
            partial(_effects, subject, rows, shown[predicting[part]], features, directions) for part in blocks
        )  # fmt: skip
        for effects in run(work):
            found[predicting[done : done + len(effects)]] = effects
            done += len(effects)
            progress(done, len(predicting))
    return found


def _blocks(rows: np.ndarray, size: int):
    """Slices of entries that lie in `size` rows together. `rows` of the entries, ascending."""
    begins = np.flatnonzero(np.diff(rows, prepend=-1))[::size]
    return (slice(*ends) for ends in zip(begins, [*begins[1:], len(rows)], strict=True))


@torch.no_grad()
def _effects(subject, rows, shown, features, directions) -> np.ndarray:
    """Of entries that all have a next token. [n, 3]"""
    device, length, head = subject.device, rows.shape[1], subject.model.head
    own_rows = np.unique(shown["row"])
    places = np.searchsorted(own_rows, shown["row"]) * length + shown["position"]
    order = np.argsort(places, kind="stable")
    shown = shown[order]
    needed, at = (torch.from_numpy(part).to(device) for part in np.unique(places[order], return_inverse=True))
    ids = torch.from_numpy(rows[own_rows].astype(np.int64)).to(device)
    few = max(1, FORWARD_TOKENS // length)
    hooks, residuals = _joined([subject.activations_and_residual(part) for part in ids.split(few)])
    positions = Positions.of(head, residuals[needed], ids.flatten()[needed + 1])
    which = torch.from_numpy(np.searchsorted(features, shown["feature"])).to(device)
    stretch = subject.sae.output_scale(hooks[needed])[:, 0]  # 1 without an input norm
    values = torch.from_numpy(shown["value"].copy()).to(device) * stretch[at]
    on_loss, on_logit = effects_of_pairs(head, positions, directions, at, which, values)
    found = np.empty((len(order), len(COLUMNS)), np.float32)
    found[order] = torch.stack([positions.losses[at], on_loss, on_logit], 1).cpu().numpy()
    return found


def _joined(parts: list[tuple[Tensor, Tensor]]) -> list[Tensor]:
    """Batches of sequences as one run of positions each. [positions, width]"""
    return [torch.cat([part.flatten(0, 1) for part in kind]) for kind in zip(*parts, strict=True)]
