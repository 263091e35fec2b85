"""How well does each feature go with a pattern? All features at once, over every kept activation.

`a` is where a feature is active (from a threshold on), `m` where the pattern holds, on counted tokens. Same as
reference_questions.pattern_scores: counts exact, sums in float64.
"""

from dataclasses import dataclass

import numpy as np

from ..store.kept_entries import KeptEntries, KeptEntriesDamaged
from .intervals import PrecisionIntervals, wilson
from .thresholds import ActiveFrom, Threshold

METRICS = ("f1", "precision", "recall", "lift", "correlation")
INTERVALS = 128  # features whose intervals are bootstrapped where they are ordered by: those with the best by Wilson


@dataclass(frozen=True)
class Scores:
    """Figures of every feature with one pattern. [d_sae] each; NaN of those that are never active."""

    tokens: int  # counted
    held: int  # of them, those on which the pattern holds: n(m)
    active: np.ndarray  # n(a) int64
    hits: np.ndarray  # n(a m) int64
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    lift: np.ndarray
    correlation: np.ndarray  # of the activations, whatever the threshold
    weighted_precision: np.ndarray  # the same

    @property
    def base_rate(self) -> float:
        """Share of the counted tokens on which the pattern holds: the precision of a feature that knows nothing."""
        return self.held / self.tokens


def scores(kept: KeptEntries, held: np.ndarray, counted: int, active_from: ActiveFrom) -> Scores:
    """`held` [tokens] bool where the pattern holds, `counted` tokens in all.

    Raises KeptEntriesDamaged where an entry is of no feature.
    """
    active, m = active_from.counts, int(held.sum())
    all_sums, all_sizes, squares = kept.sums
    signed = bool((all_sums != all_sizes).any())  # else all sizes are the values themselves
    hits, sums, sizes = at_tokens(kept, np.flatnonzero(held), active_from.least, signed)
    with np.errstate(divide="ignore", invalid="ignore"):
        # 0 / 0, NaN, for features that are never active: they are in no order.
        precision = hits / active
        recall = np.where(active > 0, hits / m if m else np.nan, np.nan)
        # Without a hit precision and recall are 0 and their harmonic mean 0 / 0: it is 0, and NaN where precision is.
        f1 = np.where(hits > 0, 2 * precision * recall / (precision + recall), precision * 0)
        # Pearson: covariance over both deviations, each with `counted` in its denominator.
        share = m / counted
        covariance = sums / counted - all_sums / counted * share
        variance = squares / counted - (all_sums / counted) ** 2
        correlation = covariance / np.sqrt(variance * share * (1 - share))
        return Scores(
            tokens=counted,
            held=m,
            active=active,
            hits=hits,
            precision=precision,
            recall=recall,
            f1=f1,
            lift=precision / share,
            correlation=np.where(active > 0, correlation, np.nan),
            weighted_precision=np.where(active > 0, sizes / all_sizes, np.nan),
        )


def compile_loops(kept: KeptEntries) -> None:
    """Whoever computes has the time: what is compiled here for entries of this form, the first question finds on the
    disk."""
    active_from, nowhere = Threshold(quantile=0.5).of(kept, kept.tokens), np.zeros(kept.tokens, bool)
    for signed in (False, True):
        at_tokens(kept, np.zeros(0, np.int64), active_from.least, signed)
    PrecisionIntervals(kept, nowhere, active_from.least, max(1, kept.tokens)).of(np.flatnonzero(kept.counts)[:1])


def at_tokens(
    kept: KeptEntries, tokens: np.ndarray, least: np.ndarray, signed: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each feature: on how many of some tokens [m] it is at least `least` in size, the sums of its values and of
    their sizes there. [d_sae] int64, float64, float64. Raises KeptEntriesDamaged."""
    from ..kernels.numba.token_sums import add_at_tokens  # numba takes a second: with the first question, not the site

    counts, sums, sizes = np.zeros(kept.d_sae, np.int64), np.zeros(kept.d_sae), np.zeros(kept.d_sae if signed else 0)
    arrays = (kept.token_offsets, kept.token_features, kept.token_values)
    if not add_at_tokens(tokens, *map(np.asarray, arrays), least, counts, sums, sizes):
        raise KeptEntriesDamaged(f"{kept.folder / 'token_features'} names features beyond {kept.d_sae - 1:,}.")
    return counts, sums, sizes if signed else sums


@dataclass(frozen=True)
class PatternRanking:
    """Features in the order of one metric, best first, and the interval of precision where one was taken."""

    metric: str
    order: np.ndarray  # [ranked] features; those that are never active are not ranked
    intervals: dict[int, tuple[float, float]]  # feature -> 95 % interval of its precision


def rank(scores: Scores, metric: str, intervals: PrecisionIntervals, shown: int = 50) -> PatternRanking:
    """All active features; of equal ones the one with more hits first, then the lower index. Same as
    reference_questions.pattern_order.

    By F1, recall or correlation as they are; precision and lift by the lower end of their interval, so that one chance
    hit is not the best of all: bootstrapped for the INTERVALS best, Wilson's for the rest. `shown`: how many have their
    interval taken anyway.
    """
    alive = np.flatnonzero(scores.active > 0)  # [n]
    by_interval = metric in ("precision", "lift")
    keys = wilson(scores.hits[alive], scores.active[alive])[0] if by_interval else getattr(scores, metric)[alive]
    order = _ordered(alive, keys, scores)
    best = order[: max(INTERVALS, shown) if by_interval else shown]
    ends = intervals.of(best)  # [best, 2]
    if by_interval:
        # The same order for both: lift is precision over the share that all features have in common.
        # Only the best have been bootstrapped: they are put in order anew, the others stay behind them.
        order = np.concatenate([_ordered(best, ends[:, 0], scores), order[len(best) :]])
    return PatternRanking(
        metric, order, {index: tuple(pair) for index, pair in zip(best.tolist(), ends.tolist(), strict=True)}
    )


def _ordered(features: np.ndarray, keys: np.ndarray, scores: Scores) -> np.ndarray:
    """Highest key first, NaN last."""
    # lexsort sorts by its last key first.
    return features[np.lexsort((features, -scores.hits[features], -np.nan_to_num(keys, nan=-np.inf)))]
