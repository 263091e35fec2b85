"""Who fires instead, where a feature misses a pattern? Suspects of absorption and of splitting.

Features that are active on misses more often than elsewhere (Chanin et al. 2024, arXiv:2409.14507).
"""

from dataclasses import dataclass

import numpy as np

from ..store.kept_entries import KeptEntries
from .scores import at_tokens

FEWEST = 2  # misses on which a feature has to be active to be named


@dataclass(frozen=True)
class Suspects:
    """Features that are active on misses, those on the most misses first. [n] each"""

    features: np.ndarray
    hits: np.ndarray  # misses on which each is active: n(not a_i, m, a_j)
    share: np.ndarray  # of all misses
    lift: np.ndarray  # share over n(a_j) / n(T)


def suspects(
    kept: KeptEntries, missed: np.ndarray, active: np.ndarray, counted: int, least: np.ndarray, most: int = 10
) -> Suspects:
    """`missed` [m] tokens; `active` [d_sae] int64 on how many of the `counted` tokens each feature is, from the size
    `least` [d_sae] on. Same as reference_questions.fired_instead: exact. Raises KeptEntriesDamaged."""
    hits, _, _ = at_tokens(kept, missed.astype(np.int64), least)
    features = np.flatnonzero(hits >= FEWEST)
    # share / (n(a_j) / n(T)), of whole numbers: above 1 exactly where the feature is active there more than elsewhere.
    lift = hits[features] * counted / (len(missed) * active[features]) if len(features) else np.zeros(0)
    features, lift = features[lift > 1], lift[lift > 1]
    # lexsort sorts by its last key first.
    order = np.lexsort((features, -lift, -hits[features]))[:most]
    features, lift = features[order], lift[order]
    return Suspects(features, hits[features], hits[features] / max(1, len(missed)), lift)
