"""How good are labels? Balanced accuracy of detection, beside that of a label that is not the feature's own."""

from math import sqrt

import numpy as np

from .examples import LEAST

Z = 1.959964  # of a 95 % interval
DRAWS = 2000  # of features, for the interval of a mean


def wilson(hits: int, count: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    share, spread = hits / count, Z * Z / count
    middle = (share + spread / 2) / (1 + spread)
    half = Z * sqrt(share * (1 - share) / count + spread / (4 * count)) / (1 + spread)
    return middle - half, middle + half


def balanced_accuracy(fits: list[bool], answers: list[int | None]) -> dict:
    """Mean of the shares of texts that fit and were said to, and of those that do not and were not; texts without an
    answer are left out. {"score", "low", "high", "positives", "negatives"}, or {"why_none"}.

    The interval joins Wilson's of the two shares: Zou and Donner 2008 (MOVER).
    """
    told = [(fit, answer == 1) for fit, answer in zip(fits, answers, strict=True) if answer is not None]
    kinds = [said for fit, said in told if fit], [not said for fit, said in told if not fit]  # right or not
    if min(map(len, kinds)) < LEAST:
        texts = f"{len(kinds[0])} texts that fit and {len(kinds[1])} that do not"
        return {"why_none": f"Answers came for {texts}; {LEAST} of each are needed."}
    shares = [sum(kind) / len(kind) for kind in kinds]
    bounds = [wilson(sum(kind), len(kind)) for kind in kinds]
    below, above = (
        sqrt(sum((share - bound[end]) ** 2 for share, bound in zip(shares, bounds, strict=True))) / 2 for end in (0, 1)
    )
    score = sum(shares) / 2
    interval = {"low": max(0.0, score - below), "high": min(1.0, score + above)}
    return {"score": score, **interval, "positives": len(kinds[0]), "negatives": len(kinds[1])}


def summary(scores: list[float], controls: list[float], seed: int) -> dict:
    """Of features that have both: the means, and that of their difference, with 95 % bootstrap intervals over
    features (percentiles of DRAWS). {} for none."""
    if not scores:
        return {}
    pairs = np.array([scores, controls])  # [2, n]
    draws = np.random.default_rng(seed).integers(pairs.shape[1], size=(DRAWS, pairs.shape[1]))  # [draws, n]
    columns = {"score": pairs[0], "control": pairs[1], "difference": pairs[0] - pairs[1]}
    told = {"features": pairs.shape[1]}
    for name, values in columns.items():
        told[name] = {"mean": float(values.mean())}
        if len(values) > 1:
            low, high = np.percentile(values[draws].mean(1), [2.5, 97.5]).tolist()
            told[name] |= {"low": low, "high": high}
    return told
