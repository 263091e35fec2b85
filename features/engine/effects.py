"""Loss effects of every shown activation: each position's logits once, however many features need them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from .logits import Directions, Positions, loss_effects
from .subject import Subject
from .threads import side_by_side

FORWARD_TOKENS = 2048  # through the model at a time: its activations stay in the cache
POSITION_BYTES = 32 << 20  # of positions' logits held at a time; progress is told after each such block


@dataclass(frozen=True)
class Activations:
    """Active entries of many features at many corpus positions, feature by feature."""

    features: np.ndarray  # [n] int64
    rows: np.ndarray  # [n] int64
    positions: np.ndarray  # [n] int64
    values: np.ndarray  # [n] float32


@dataclass(frozen=True)
class Effects:
    """What each entry does to the prediction of the next token; NaN where its row ends or it was left out."""

    losses: np.ndarray  # [n] float32, nats, with the feature
    loss_effects: np.ndarray  # [n] float32, nats, with - without
    logit_effects: np.ndarray  # [n] float32


def effects_of(
    subject: Subject,
    rows: np.ndarray,
    entries: Activations,
    wanted: np.ndarray,
    features: np.ndarray,
    directions: Directions,
    progress: Callable,
) -> Effects:
    """Effects of the entries that are `wanted` [n] bool. `rows` [n, length] token ids; `directions` of `features`,
    ascending, among which are the entries'; `progress(done, total)` in entries."""
    found = Effects(*(np.full(len(entries.values), np.nan, np.float32) for _ in range(3)))
    predicting = np.flatnonzero(wanted & (entries.positions < rows.shape[1] - 1))
    rows_at_once = max(1, POSITION_BYTES // (4 * subject.model.d_vocab * rows.shape[1]))
    done = 0
    with side_by_side(subject.device) as run:
        blocks = _blocks(entries.rows, predicting, rows_at_once)
        work = (partial(_fill, found, subject, rows, entries, directions, features, *block) for block in blocks)
        for count in run(work):
            done += count
            progress(done, len(predicting))
    return found


def _blocks(keys: np.ndarray, entries: np.ndarray, size: int):
    """(some distinct keys, the entries that have them), `size` keys at a time, keys ascending."""
    order = entries[np.argsort(keys[entries], kind="stable")]
    distinct, first = np.unique(keys[order], return_index=True)
    ends = np.append(first, len(order))
    for start in range(0, len(distinct), size):
        block = distinct[start : start + size]
        yield block, order[ends[start] : ends[start + len(block)]]


@torch.no_grad()
def _fill(found, subject, rows, entries, directions, features, block_rows, chosen) -> int:
    """Effects of the chosen entries, whose features and rows are among the given ones; returns their number."""
    device, length = subject.device, rows.shape[1]
    place = np.searchsorted(block_rows, entries.rows[chosen]) * length + entries.positions[chosen]
    needed, at = np.unique(place, return_inverse=True)
    ids = torch.from_numpy(rows[block_rows].astype(np.int64))
    few = max(1, FORWARD_TOKENS // length)
    hooks, residuals = _joined([subject.activations_and_residual(part) for part in ids.split(few)])
    targets = ids.flatten()[torch.from_numpy(needed) + 1].to(device)
    positions = Positions.of(subject.model.head, residuals[torch.from_numpy(needed).to(device)], targets)
    at = torch.from_numpy(at).to(device)
    which = torch.from_numpy(np.searchsorted(features, entries.features[chosen])).to(device)
    stretch = subject.sae.output_scale(hooks[torch.from_numpy(needed).to(device)])[:, 0]  # 1 without an input norm
    values = torch.from_numpy(entries.values[chosen]).to(device) * stretch[at]
    effects = loss_effects(subject.model.head, positions, directions, at, which, values)
    found.losses[chosen] = positions.losses[at].cpu().numpy()
    found.loss_effects[chosen] = effects.cpu().numpy()
    found.logit_effects[chosen] = (values * directions.on(which, targets[at])).cpu().numpy()
    return len(chosen)


def _joined(parts: list[tuple[Tensor, Tensor]]) -> list[Tensor]:
    """Batches of sequences as one run of positions each. [positions, width]"""
    return [torch.cat([part.flatten(0, 1) for part in kind]) for kind in zip(*parts, strict=True)]
