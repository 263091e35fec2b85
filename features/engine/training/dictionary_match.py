"""How much do two whole dictionaries share? The best of each feature by decoder and by activations, and chance.

Same as decoder_match.py and activity_match.py feature by feature, but that chance by activations is the quantile of all
features of a decade of density, their rows shuffled once.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ..store.kept_entries import KeptEntries
from .activity_match import LEAST_FIRED, QUANTILE, correlations

if TYPE_CHECKING:
    from torch import Tensor

PAIR = np.dtype(
    [
        ("decoder", "<i4"),  # the best in the other dictionary
        ("cosine", "<f4"),
        ("decoder_mutual", "?"),  # whether this one is the best for that one, too
        ("activity", "<i4"),  # -1: fires too seldom, meets none often enough, or not compared
        ("correlation", "<f4"),
        ("correlation_chance", "<f4"),  # of its decade of density
        ("activity_mutual", "?"),
    ]
)
AT_ONCE = 512
VERDICTS = ("matched", "decoder only", "activations only", "unmatched")
Say = Callable[[int, int], None]


def by_decoder(own: "Tensor", others: "Tensor", say: Say = lambda done, total: None) -> np.ndarray:
    """Of unit rows [n, d_in] and [m, d_in] the decoder's part of PAIR. [n]"""
    import torch  # here: pages read what was stored without it

    found = np.zeros(len(own), PAIR)
    found["activity"], found["correlation"], found["correlation_chance"] = -1, np.nan, np.nan
    best_of_other, nearest = torch.full((len(others),), -2.0), torch.zeros(len(others), dtype=torch.int64)
    for start in range(0, len(own), AT_ONCE):
        part = slice(start, min(start + AT_ONCE, len(own)))
        cosines = (own[part] @ others.T).cpu()  # [part, m]
        found["cosine"][part], found["decoder"][part] = (each.numpy() for each in cosines.max(1))
        # The other way round, part by part: the best so far of each row of `others`.
        highest, at = cosines.max(0)  # [m] the best of this part for each of the others
        better = highest > best_of_other
        best_of_other[better], nearest[better] = highest[better], at[better] + start
        say(part.stop, len(own))
    found["decoder_mutual"] = nearest.numpy()[found["decoder"]] == np.arange(len(own))
    return found


def by_activity(
    pairs: np.ndarray,
    kept: KeptEntries,
    others: KeptEntries,
    tokens: int,
    width: int,
    say: Say = lambda done, total: None,
) -> None:
    """Fill in the rest of PAIR [n]: entries of the same rows, `width` positions each, `tokens` of which count."""
    n, best_of_other, nearest = len(pairs), np.full(others.d_sae, -2.0), np.zeros(others.d_sae, np.int64)
    moved = np.random.default_rng(0).permutation(others.tokens // width)
    shuffled = np.full(n, np.nan)
    for feature in range(n):
        own = kept.feature(feature)
        if len(own.values) >= LEAST_FIRED:
            found = np.nan_to_num(correlations(own.tokens, own.values, others, tokens), nan=-2)  # -2: not to be told
            if found.max() > -2:
                pairs["activity"][feature], pairs["correlation"][feature] = found.argmax(), found.max()
            better = found > best_of_other
            best_of_other[better], nearest[better] = found[better], feature
            # Whole rows change places under the feature, positions stay: chance that knows of positions, not of texts.
            row, position = np.divmod(own.tokens.astype(np.int64), width)
            shuffled[feature] = _best(correlations(moved[row] * width + position, own.values, others, tokens))
        if feature % 64 == 0:
            say(feature, n)
    known = pairs["activity"] >= 0
    pairs["activity_mutual"][known] = nearest[pairs["activity"][known]] == np.flatnonzero(known)
    # Rare features reach higher correlations by chance: the quantile is taken within a decade of density.
    decade = np.floor(np.log10(np.maximum(kept.counts, 1) / tokens))
    for each in np.unique(decade[known]):
        there = known & (decade == each)
        pairs["correlation_chance"][there] = np.quantile(shuffled[there], QUANTILE)


def _best(found: np.ndarray) -> float:
    return 0.0 if np.isnan(found).all() else float(np.nanmax(found))


def verdicts(pairs: np.ndarray, decoder_chance: float) -> np.ndarray:
    """Which of VERDICTS each is. Matched: each is the other's best by decoder, and above chance in both. [n] int8"""
    decoder = pairs["decoder_mutual"] & (pairs["cosine"] > decoder_chance)
    above = (pairs["activity"] >= 0) & (pairs["correlation"] > pairs["correlation_chance"])
    same = above & (pairs["activity"] == pairs["decoder"])
    activity = above & pairs["activity_mutual"]
    return np.select([decoder & same, decoder, activity], [0, 1, 2], 3).astype(np.int8)
