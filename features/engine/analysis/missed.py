"""What does an SAE miss? The tokens, rows and words at which its reconstruction costs most loss."""

from dataclasses import dataclass

import numpy as np

from ..corpus.token_rows import counted_mask
from ..encoder.encoder import Encoder
from ..subject import Subject
from ..weights.summary import losses_by_token

TOKENS, ROWS, WORDS = 20, 8, 10  # shown of each
APART = 11  # no two tokens of a row closer than this, as among examples
OFTEN = 10  # times a word has to be predicted, or its mean is one accident


@dataclass(frozen=True)
class Missed:
    """On some whole rows: loss with the reconstruction less loss as it is, in nats, at the token that is predicted."""

    rows: int
    predicted: int  # counted tokens that were predicted
    cost: float  # mean
    worst_tokens: tuple[dict, ...]  # {row, position, clean, reconstructed}, most costly first
    worst_rows: tuple[dict, ...]  # {row, cost, costs}: its mean, and of each position (None: not counted)
    worst_words: tuple[dict, ...]  # {token, count, cost, share}: mean cost of predicting this token, share of all cost


def missed(subject: Subject, rows: np.ndarray, chosen: np.ndarray, special) -> Missed | None:
    """Of the `chosen` rows [m] of `rows` [n, length]; None where losses cannot be read off the model. Same as
    reference_analysis.reconstruction_cost: float32 rounding."""
    if subject.why_no_losses or not len(chosen):
        return None
    texts = np.asarray(rows[chosen])
    clean, reconstructed = losses_by_token(subject, Encoder(subject.sae, "off"), texts)  # [m, length - 1]
    # Column p of losses is about the token at p + 1.
    predicted = counted_mask(texts[:, 1:], special)
    if not predicted.any():
        return None
    cost = np.where(predicted, reconstructed - clean, np.nan)
    return Missed(
        rows=len(chosen),
        predicted=int(predicted.sum()),
        cost=float(np.nanmean(cost)),
        worst_tokens=tuple(_worst_tokens(chosen, clean, reconstructed, cost)),
        worst_rows=tuple(_worst_rows(chosen, cost)),
        worst_words=tuple(_worst_words(texts[:, 1:][predicted], cost[predicted])),
    )


def _worst_tokens(chosen, clean, reconstructed, cost):
    """Most costly first, of equal ones the earlier; position p + 1 of a row is predicted at p."""
    taken: dict[int, list[int]] = {}
    found = 0
    # A flat index is row * (length - 1) + position; NaN, what is not counted, comes last.
    for flat in np.argsort(-np.nan_to_num(cost, nan=-np.inf).ravel(), kind="stable").tolist():
        row, at = divmod(flat, cost.shape[1])
        if found == TOKENS or not cost[row, at] > 0:
            return
        if all(abs(at - other) >= APART for other in taken.setdefault(row, [])):
            taken[row].append(at)
            found += 1
            losses = {"clean": float(clean[row, at]), "reconstructed": float(reconstructed[row, at])}
            yield {"row": int(chosen[row]), "position": at + 1} | losses


def _worst_rows(chosen, cost):
    some = np.isfinite(cost).any(1)
    means = np.full(len(cost), -np.inf)
    means[some] = np.nanmean(cost[some], axis=1)
    for row in np.argsort(-means, kind="stable")[:ROWS].tolist():
        if np.isfinite(means[row]):
            costs = [round(value, 4) if value == value else None for value in cost[row].tolist()]
            yield {"row": int(chosen[row]), "cost": float(means[row]), "costs": [None, *costs]}


def _worst_words(targets, costs):
    """Tokens whose prediction costs most on the mean, of those predicted often."""
    # which[i] is the place of prediction i's token among the distinct ones.
    words, which, counts = np.unique(targets, return_inverse=True, return_counts=True)
    sums = np.bincount(which, costs)
    often = np.flatnonzero((counts >= OFTEN) & (sums > 0))
    for n in often[np.argsort(-(sums / counts)[often], kind="stable")][:WORDS].tolist():
        figures = {"count": int(counts[n]), "cost": float(sums[n] / counts[n]), "share": float(sums[n] / costs.sum())}
        yield {"token": int(words[n])} | figures
