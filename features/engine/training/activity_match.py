"""Which feature of another dictionary goes with this one on the same tokens, and how well would one by accident?

Read off kept activations, numpy alone. Chance: the same search after the rows are shuffled under the feature.
"""

from dataclasses import dataclass

import numpy as np

from ..store.kept_entries import KeptEntries

LEAST_MET, LEAST_FIRED = 5, 20  # tokens on which two features meet; activations of either
SHUFFLES, QUANTILE = 100, 0.99


@dataclass(frozen=True)
class ActivityMatch:
    """The feature of the other dictionary with the highest correlation."""

    feature: int
    correlation: float  # Pearson, over counted tokens
    mutual: bool  # whether this feature is the best for that one, too
    chance: float  # 99 % quantile of the best correlation with shuffled rows


def activity_match(
    kept: KeptEntries, other: KeptEntries, feature: int, tokens: int, width: int
) -> ActivityMatch | None:
    """Both of the same rows, `width` positions each, `tokens` of which count. None where it fires too seldom, or meets
    none often enough."""
    own = kept.feature(feature)
    if len(own.values) < LEAST_FIRED:
        return None
    found = correlations(own.tokens, own.values, other, tokens)
    if np.isnan(found).all():
        return None
    best = int(np.nanargmax(found))
    # The same search from the other side: is this feature the best for its best?
    back = other.feature(best)
    returned = correlations(back.tokens, back.values, kept, tokens)
    return ActivityMatch(
        best,
        float(found[best]),
        int(np.nanargmax(returned)) == feature,
        _chance(own.tokens, own.values, other, tokens, width),
    )


def correlations(active: np.ndarray, values: np.ndarray, other: KeptEntries, tokens: int) -> np.ndarray:
    """Pearson correlation of a feature, active on `active` [n] with `values` [n], with each of the other dictionary's;
    NaN where they meet on fewer than LEAST_MET tokens or that one fires on fewer than LEAST_FIRED. [d_sae]

    Same as reference.pearson: exact, in float64."""
    starts, ends = other.token_offsets[active], other.token_offsets[active.astype(np.int64) + 1]
    lengths = ends - starts
    # The entries of all these tokens, one behind the other: each token's run of indices begins at its offset.
    entries = np.repeat(starts - np.concatenate([[0], lengths.cumsum()[:-1]]), lengths) + np.arange(lengths.sum())
    features = other.token_features[entries]
    products = np.repeat(values.astype(np.float64), lengths) * other.token_values[entries]
    together = np.bincount(features, products, minlength=other.d_sae)
    met = np.bincount(features, minlength=other.d_sae)
    f, ff = values.sum(dtype=np.float64), np.square(values, dtype=np.float64).sum()
    g, _, gg = other.sums
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (together - f * g / tokens) / np.sqrt((ff - f * f / tokens) * (gg - g * g / tokens))
    found[(met < LEAST_MET) | (other.counts < LEAST_FIRED)] = np.nan
    return found


def _chance(active, values, other: KeptEntries, tokens: int, width: int) -> float:
    """The QUANTILE of the best match of the same activations, each row's moved to another row."""
    rng, rows = np.random.default_rng(0), other.tokens // width
    best = []
    row, position = np.divmod(active.astype(np.int64), width)
    for _ in range(SHUFFLES):
        # Row r of the feature becomes another row; positions in the row stay.
        moved = rng.permutation(rows)[row] * width + position
        found = correlations(moved, values, other, tokens)
        best.append(0.0 if np.isnan(found).all() else float(np.nanmax(found)))
    return float(np.quantile(best, QUANTILE))
