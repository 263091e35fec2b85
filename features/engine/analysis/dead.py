"""How near do dead features come? Their highest pre-activation against what they would have to exceed, and where."""

from dataclasses import dataclass

import numpy as np
import torch

from ..corpus.token_rows import counted_mask
from ..sae.bars import against_threshold
from ..subject import Subject

BATCH_TOKENS = 2048


@dataclass(frozen=True)
class Nearest:
    """Of dead features, [n] each: the token of some rows on which each came nearest to firing, of equal ones the
    first. Without a counted token values are NaN and places -1."""

    features: np.ndarray
    values: np.ndarray  # pre-activations; their size for abstopk
    thresholds: np.ndarray  # what each had to exceed there
    rows: np.ndarray
    positions: np.ndarray
    on_bos: np.ndarray  # whether it fires on BOS, which is not counted: "BOS only"
    tokens: int  # counted tokens that were looked at

    @property
    def gaps(self) -> np.ndarray:
        """How far below. [n]"""
        return self.thresholds - self.values


@torch.no_grad()
def nearest(
    subject: Subject, rows: np.ndarray, chosen: np.ndarray, first: int, bos: bool, dead: np.ndarray, progress=None
) -> Nearest:
    """Of the features `dead` [n] on the counted tokens of the `chosen` rows. Same as reference_analysis.gap: float32
    rounding. `progress(done, total)` hears of rows, and may raise to stop."""
    sae, index = subject.sae, torch.as_tensor(dead, device=subject.device)
    best = np.full(len(dead), np.inf)
    found = np.full((2, len(dead)), np.nan), np.full((2, len(dead)), -1, np.int64)
    on_bos, tokens, step = np.zeros(len(dead), bool), 0, max(1, BATCH_TOKENS // rows.shape[1])
    for begin in range(0, len(chosen), step):
        batch = chosen[begin : begin + step]
        ids = np.asarray(rows[batch])
        h = subject.activations(ids.astype(np.int64)).float()  # [rows, length, d_in]
        if begin == 0 and bos:
            on_bos = (sae.encode(h[0, :1])[0, index] != 0).cpu().numpy()
        counted = counted_mask(ids, subject.vocabulary.special)
        # What stands before `first` (BOS, positions left out) is read by the model and counts nowhere.
        counted[:, :first] = False
        row, position = np.nonzero(counted)
        if not len(row):
            continue
        tokens += len(row)
        values, thresholds = (part.cpu().numpy() for part in against_threshold(sae, h[row, position], index))
        gaps = thresholds - values  # [tokens, n]
        # argmin takes the first of equal ones, and a later batch replaces only what it comes strictly nearer than.
        at = gaps.argmin(0)
        every = np.arange(len(dead))
        nearer = np.flatnonzero(gaps[at, every] < best)
        best[nearer] = gaps[at, every][nearer]
        for column, array in enumerate((values, thresholds)):
            found[0][column, nearer] = array[at, every][nearer]
        # at[n] is one of the batch's counted positions; row[...] its row within the batch, batch[...] that of the
        # corpus.
        found[1][:, nearer] = batch[row[at[nearer]]], position[at[nearer]]
        if progress:
            progress(begin + len(batch), len(chosen))
    return Nearest(np.asarray(dead), *found[0], *found[1], on_bos, tokens)
