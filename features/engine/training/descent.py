"""Which features split or merged between two checkpoints? By decoder rows, among those that left their own index.

A feature descends from the one of the checkpoint before whose decoder row is nearest, where that is nearer than chance.
Split: two features descend from one. Merged: one is the nearest to two of the checkpoint before.
"""

import numpy as np
import torch
from torch import Tensor

from .decoder_match import chance_cosine, unit_rows
from .turnover import FIRED

STAYED = 0.9  # decoder cosine to itself from which on a feature is where it was, and descends from itself
AT_ONCE = 1024


@torch.no_grad()
def split_and_merged(
    now: Tensor, before: Tensor, own: np.ndarray, counts: np.ndarray, counts_before: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of decoders [d_sae, d_in] of one run, the cosines `own` [d_sae] of each row with its own before, and activations
    on the same rows. [d_sae] bool each."""
    alive, lived = counts >= FIRED, counts_before >= FIRED
    stayed = (own >= STAYED) & alive & lived  # NaN, where a row is zero, counts as moved
    if not ((alive | lived) & ~stayed).any():
        return np.zeros(len(own), bool), np.zeros(len(own), bool)
    rows, rows_before = unit_rows(now), unit_rows(before)
    parents = _nearest(rows, rows_before, alive, lived, stayed)
    children = _nearest(rows_before, rows, lived, alive, stayed)
    return _shared(parents)[0], _shared(children)[1]


def _nearest(rows: Tensor, others: Tensor, of: np.ndarray, among: np.ndarray, stayed: np.ndarray) -> np.ndarray:
    """For each row that is `of` them the nearest of `others` that is `among` them, above chance; itself where it
    stayed; -1: none. All masks [d] bool. [d]"""
    found = np.where(stayed, np.arange(len(stayed)), -1)
    wanted = np.flatnonzero(of & ~stayed)
    if not len(wanted) or not among.any():
        return found
    chosen = torch.from_numpy(np.flatnonzero(among)).to(others.device)
    others = others[chosen]
    least = chance_cosine(others)
    for part in torch.from_numpy(wanted).split(AT_ONCE):
        best, at = (rows[part.to(rows.device)] @ others.T).max(1)
        found[part.numpy()] = torch.where(best > least, chosen[at], -1).cpu().numpy()
    return found


def _shared(targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whose target is that of another, too; and which are targets of two or more. [d] bool each"""
    times = np.bincount(targets[targets >= 0], minlength=len(targets))
    return (targets >= 0) & (times[targets] >= 2), times >= 2
