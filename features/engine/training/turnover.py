"""What became of features from one checkpoint to the next? Born, died, revived, changed. Without torch."""

from dataclasses import dataclass

import numpy as np

from .record import TOPS

FIRED = 10  # activations on one side, none on the other: fewer may be an accident of the rows
TURNED = 0.7  # decoder cosine below which a feature has changed
IN_COMMON = 5  # of its TOPS strongest positions; fewer, and it has changed


@dataclass(frozen=True)
class Turnover:
    """[checkpoints, d_sae] bool each; nothing happens at the first checkpoint."""

    born: np.ndarray  # silent at the one before, and never heard earlier
    died: np.ndarray
    revived: np.ndarray  # silent at the one before, but heard earlier


def turnover(counts: np.ndarray) -> Turnover:
    """Of activations [checkpoints, d_sae] on the same rows, checkpoints in order of their steps."""
    fired, silent = counts >= FIRED, counts == 0
    found = Turnover(*np.zeros((3, *counts.shape), bool))
    heard = np.zeros(counts.shape[1], bool)  # at one of the checkpoints so far
    for n in range(1, len(counts)):
        heard |= fired[n - 1]
        woke = silent[n - 1] & fired[n]
        found.born[n], found.revived[n] = woke & ~heard, woke & heard
        found.died[n] = fired[n - 1] & silent[n]
    return found


def in_common(tops: np.ndarray, others: np.ndarray) -> np.ndarray:
    """How many of two sets of strongest positions [n, TOPS] are the same, feature by feature. [n]"""
    same = (tops[:, :, None] == others[:, None, :]).any(2)  # [n, TOPS]
    # A set of fewer than TOPS repeats its first: each position counts once.
    repeated = np.zeros_like(same)
    repeated[:, 1:] = tops[:, 1:] == tops[:, :1]
    return (same & ~repeated).sum(1)


def changed(before: np.ndarray, now: np.ndarray, fired: np.ndarray) -> np.ndarray:
    """Whether features do something else than at the checkpoint before: records [n] of both; fired [n]: often enough
    at both to have TOPS positions. [n] bool"""
    turned = now["before"].astype(np.float32) < TURNED
    full = fired & _is_full(before["tops"]) & _is_full(now["tops"])
    moved = np.zeros(len(now), bool)
    moved[full] = in_common(before["tops"][full], now["tops"][full]) < IN_COMMON
    return fired & (turned | moved)


def _is_full(tops: np.ndarray) -> np.ndarray:
    """Whether there are as many positions as there can be. [n]"""
    return (tops[:, 1:] != tops[:, :1]).all(1) & (tops.shape[1] == TOPS)
