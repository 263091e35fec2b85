"""How well does a feature tell texts that have a property from others? AUROC of its strongest activation."""

from dataclasses import dataclass

import numpy as np

CANDIDATES = 50  # features that are chosen on one half of the texts, and judged on the other


@dataclass(frozen=True)
class Apart:
    """The features that tell the texts apart, best on held-out texts first. [n] each"""

    features: np.ndarray
    held_out: np.ndarray  # AUROC on texts that had no part in choosing them
    chosen_on: np.ndarray  # AUROC on the others


def auroc(having: np.ndarray, lacking: np.ndarray) -> np.ndarray:
    """Share of pairs in which the text that has the property has the higher score; equal ones count half.

    [n, d_sae], [m, d_sae] -> [d_sae]. Same as reference_questions.auroc: exact.
    """
    halves = np.zeros(having.shape[1], np.int64)
    for scores in having:
        halves += 2 * (scores > lacking).sum(0) + (scores == lacking).sum(0)
    return halves / (2 * len(having) * len(lacking))


def tell_apart(having: np.ndarray, lacking: np.ndarray) -> Apart:
    """Chosen on the first, third ... text of each kind, ordered by AUROC on the others; of equal ones by that on which
    they were chosen, then the lower index. Features that are active on no text are left out."""
    chosen_on = auroc(having[::2], lacking[::2])
    alive = np.flatnonzero((having != 0).any(0) | (lacking != 0).any(0))
    best = alive[np.lexsort((alive, -chosen_on[alive]))][:CANDIDATES]
    held_out = auroc(having[1::2][:, best], lacking[1::2][:, best])
    order = np.lexsort((best, -chosen_on[best], -held_out))
    return Apart(best[order], held_out[order], chosen_on[best[order]])
