"""What is each feature worth? Importance: the sum of its single effects on the loss, in nats per million tokens.

Estimated on random positives: of some whole rows, up to POSITIVES tokens a feature on which it is active and that have
a counted token behind them. How many features carry most of it is told without choosing and summing on the same
positives: ordered by one half of them, summed over the other.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..ask.intervals import draws
from ..collect.shown_entries import ENTRY
from ..corpus.token_rows import counted_mask
from ..store.kept_entries import KeptEntries
from ..subject import Subject
from ..weights.loss_effects import effects_at

POSITIONS = 100_000  # of the rows that positives are drawn from, at most
POSITIVES = 200  # of a feature, at most
SPARE = 85  # more are let through than are wanted: five deviations of how many come
CARRIED = 0.9
POINTS = 120  # of the curve, at most
AT_ONCE = 512  # features whose intervals are taken together


@dataclass(frozen=True)
class Importance:
    """Of every feature, [d_sae] each: NaN without a positive; an interval needs two rows with some."""

    positives: np.ndarray  # int64
    importance: np.ndarray  # nats per million tokens, negative helps
    low: np.ndarray  # of its 95 % interval
    high: np.ndarray
    helps: np.ndarray  # share of the positives on which the loss is lower with it
    rows: int  # that positives were drawn from
    positions: int  # of those rows
    curve: "ImportanceCurve"


@dataclass(frozen=True)
class ImportanceCurve:
    """How much of all importance the first features carry, most useful first."""

    features: np.ndarray  # [points] how many, ascending
    shares: np.ndarray  # [points] of the total that these carry
    total: float  # nats per million tokens of all features that have two positives
    of: int  # those features
    carried: int | None  # so many carry CARRIED; None where the total helps nothing


def importances(
    subject: Subject,
    kept: KeptEntries,
    rows: np.ndarray,
    first: int,
    tokens: int,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Importance | None:
    """`rows` [n, length] that activations are kept of, `first` counted position of each, `tokens` counted in all.

    None where effects cannot be read off the model. Same as reference_analysis.importance where all positives are
    taken, interval and curve included: float32 rounding of effects. Raises what `progress` raises.
    """
    if subject.why_no_losses or subject.why_no_effects:
        return None
    chosen = drawn_rows(len(rows), rows.shape[1], seed)
    shown, ranks = positives(kept, rows, chosen, first, sorted(subject.vocabulary.special), seed)
    effects = effects_at(subject, rows, shown, progress)[:, 1].astype(np.float64)
    return of_effects(shown, ranks, effects, kept.counts / max(tokens, 1), chosen, rows.shape[1], seed)


def drawn_rows(count: int, length: int, seed: int) -> np.ndarray:
    """The rows that positives come from, ascending: as many as have POSITIONS together, one at least. [n]"""
    most = max(1, POSITIONS // length)
    return np.sort(np.random.default_rng([seed, count]).permutation(count)[:most])


def positives(kept: KeptEntries, rows, chosen, first: int, special, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Entries drawn from the `chosen` rows, row by row, and each one's rank in its feature's draw. [n] ENTRY, [n]"""
    candidates = np.zeros(kept.d_sae, np.int64)  # positives of each feature in these rows
    for _, features, _, _ in _entries(kept, rows, chosen, first, special):
        candidates += np.bincount(features, minlength=kept.d_sae)
    # Each entry draws a number; those with the smallest ones are taken, and most of the others are never held.
    # A number below `limit` is drawn by POSITIVES + SPARE of the candidates on the mean.
    limits = (POSITIVES + SPARE) / np.maximum(candidates, 1)  # [d_sae]
    parts, numbers = [np.empty(0, ENTRY)], [np.empty(0)]
    for row, features, positions, values in _entries(kept, rows, chosen, first, special):
        drawn = np.random.default_rng([seed, row]).random(len(features))
        let = np.flatnonzero(drawn < limits[features])
        part = np.empty(len(let), ENTRY)
        part["feature"], part["row"], part["position"], part["value"] = features[let], row, positions[let], values[let]
        parts.append(part)
        numbers.append(drawn[let])
    shown, numbers = np.concatenate(parts), np.concatenate(numbers)
    # By feature, and within one by the number drawn: the first POSITIVES of each are its sample.
    order = np.lexsort((numbers, shown["feature"]))
    begins = np.searchsorted(shown["feature"][order], shown["feature"][order])  # where each one's feature begins
    ranks = np.empty(len(shown), np.int64)
    ranks[order] = np.arange(len(shown)) - begins
    taken = ranks < POSITIVES
    return shown[taken], ranks[taken]


def _entries(kept: KeptEntries, rows, chosen, first: int, special):
    """(row, features, positions, values) of the entries of each chosen row that have a counted token behind them."""
    width, offsets = rows.shape[1] - first, kept.token_offsets
    for row in chosen.tolist():
        # Tokens are numbered row * width + position - first.
        # CSR row pointers of the row's tokens: differences are the entries at each position.
        bounds = np.asarray(offsets[row * width : (row + 1) * width + 1])  # [width + 1]
        part = slice(int(bounds[0]), int(bounds[-1]))
        positions = np.repeat(np.arange(first, rows.shape[1]), np.diff(bounds))  # [entries]
        # An effect on the loss is one on the next token: it has to be there and to count.
        predicts = np.append(counted_mask(rows[row, 1:], special), False)  # [length]
        let = predicts[positions]
        yield row, kept.token_features[part][let].astype(np.int64), positions[let], kept.token_values[part][let]


def of_effects(shown, ranks, effects, densities, chosen, length: int, seed: int) -> Importance:
    """From positives [n] with their ranks and effects, and each feature's density [d_sae]."""
    d_sae, features = len(densities), shown["feature"].astype(np.int64)
    counts = np.bincount(features, minlength=d_sae)
    per_million = densities * 1e6

    def mean(which, weights):
        with np.errstate(invalid="ignore"):
            n = np.bincount(features[which], minlength=d_sae)
            return np.bincount(features[which], weights[which], d_sae) / np.where(n, n, np.nan)

    # One half of the draw puts features in order, the other is summed: no feature is first because its sum is.
    everything, first_half = np.ones(len(features), bool), ranks % 2 == 0
    low, high = _intervals(features, np.searchsorted(chosen, shown["row"]), effects, len(chosen), d_sae, seed)
    halves = (mean(half, effects) * per_million for half in (first_half, ~first_half))
    return Importance(
        positives=counts,
        importance=mean(everything, effects) * per_million,
        low=low * per_million,
        high=high * per_million,
        helps=mean(everything, (effects < 0).astype(np.float64)),
        rows=len(chosen),
        positions=len(chosen) * length,
        curve=curve(*halves),
    )


def curve(ordering: np.ndarray, summed: np.ndarray) -> ImportanceCurve:
    """Of importances on two halves of the positives, [d_sae] each, NaN without. Same as reference_analysis.carried."""
    both = np.flatnonzero(np.isfinite(ordering) & np.isfinite(summed))
    sums = np.cumsum(summed[both[np.argsort(ordering[both], kind="stable")]])
    if not len(sums) or sums[-1] >= 0:
        return ImportanceCurve(
            np.zeros(0, np.int64), np.zeros(0), float(sums[-1]) if len(sums) else 0.0, len(both), None
        )
    # Both are negative, as what helps is: the share of the whole help that the first features carry.
    shares = sums / sums[-1]
    # Points evenly spread over the logarithm, each once.
    at = np.unique(np.geomspace(1, len(sums), POINTS).astype(np.int64)) - 1
    return ImportanceCurve(at + 1, shares[at], float(sums[-1]), len(both), int(np.argmax(shares >= CARRIED)) + 1)


def _intervals(features, rows, effects, row_count: int, d_sae: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the 95 % interval of each mean effect: a bootstrap over rows. [d_sae] twice, NaN from fewer than 2 rows.
    Same as reference_analysis.importance_interval: float32 rounding of sums."""
    ends, drawn = np.full((2, d_sae), np.nan), draws(row_count, seed)
    order = np.argsort(features, kind="stable")
    features, rows, effects = features[order], rows[order], effects[order]
    for begin in range(0, d_sae, AT_ONCE):
        part = slice(*np.searchsorted(features, (begin, begin + AT_ONCE)))
        size = min(AT_ONCE, d_sae - begin)
        # A flat index, row * size + feature, names a cell of a matrix of this block's features.
        cells = rows[part] * size + features[part] - begin
        sums, counts = (
            np.bincount(cells, weights, row_count * size).reshape(row_count, size).astype(np.float32)
            for weights in (effects[part], None)
        )
        several = (counts > 0).sum(0) >= 2
        if several.any():
            with np.errstate(invalid="ignore"):
                means = (drawn @ sums[:, several]) / (drawn @ counts[:, several])  # [draws, some features]
            ends[:, begin : begin + size][:, several] = np.nanquantile(means, (0.025, 0.975), axis=0)
    return ends[0], ends[1]
