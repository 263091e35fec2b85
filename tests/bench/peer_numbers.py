"""How far are a peer's figures from ours, quantity by quantity?

A peer's feature is what `peers/run_*.py` writes; ours is a FeatureStatistics.
"""

import re

import numpy as np

BUFFER = 5  # tokens the peers show before an example; they look for examples at least one further from the row's ends


def differences(peer: dict[int, dict], ours: dict) -> list[str]:
    """A line per quantity: the largest difference over the features."""
    pairs = [(peer[index], ours[index]) for index in sorted(peer)]
    alive = [(theirs, own) for theirs, own in pairs if own.activity.count]
    logits = [gap for pair in pairs for gap in logit_gaps(*pair)]
    return [
        f"active tokens: {max(abs(sum(p['histogram']['counts']) - o.activity.count) for p, o in pairs)} apart at most",
        f"density as printed: {_largest(density_gap(*pair) for pair in alive):.2%} of ours apart at most",
        f"histogram: highest value {_largest(top_gap(*pair) for pair in alive):.1e} apart at most, "
        f"mean {_largest(mean_gap(*pair) for pair in alive):.2f} bins",
        _tops(alive),
        f"logits: {_largest(logits):.1e} apart at most, {len(logits)} compared",
        _effects([pair for both in alive for pair in effect_pairs(*both)]),
    ]


def density_gap(theirs: dict, ours) -> float:
    """Relative difference of the printed density; ours is rounded as theirs, to 0.001 %."""
    printed = float(re.search(r"DENSITY = ([\d.]+)%", theirs["histogram"]["title"])[1]) if _bars(theirs) else 0.0
    return abs(printed - round(100 * ours.density, 3)) / (100 * ours.density)


def top_gap(theirs: dict, ours) -> float:
    """Between the histogram's upper end and the highest activation. Bars of one single value have no width."""
    middles = theirs["histogram"]["middles"]
    return abs(middles[-1] + (middles[-1] - middles[0]) / (2 * max(1, len(middles) - 1)) - ours.activity.maximum)


def mean_gap(theirs: dict, ours) -> float:
    """Between the mean that the bars say and the mean, in bars: more than a half cannot be rounding."""
    counts, middles = np.array(theirs["histogram"]["counts"]), np.array(theirs["histogram"]["middles"])
    width = (middles[-1] - middles[0]) / (len(middles) - 1)
    return float(abs((counts * middles).sum() / counts.sum() - ours.activity.mean) / width) if width else 0.0


def logit_gaps(theirs: dict, ours) -> list[float]:
    """Of the tokens that both list."""
    own = dict(zip(ours.logits.positive.tokens.tolist(), ours.logits.positive.values.tolist(), strict=True))
    own |= dict(zip(ours.logits.negative.tokens.tolist(), ours.logits.negative.values.tolist(), strict=True))
    return [abs(value - own[id]) for id, value in theirs["positive"] + theirs["negative"] if id in own]


def effect_pairs(theirs: dict, ours) -> list[tuple[float, float]]:
    """(their, our) loss effect at the same places. Theirs stand at the predicted token, ours before it."""
    own = dict(zip(_places(ours.shown), ours.shown.loss_effects.tolist(), strict=True))
    found = []
    for row, at, _, effects in theirs["top"]:
        for token, effect in enumerate(effects or [], at - BUFFER):
            value = own.get((row, token - 1))
            if value is not None and np.isfinite(value):
                found.append((effect, value))
    return found


def _places(shown) -> list[tuple[int, int]]:
    rows = np.repeat(shown.rows, np.diff(shown.starts))
    return list(zip(rows.tolist(), shown.positions.tolist(), strict=True))


def _tops(alive: list) -> str:
    apart = [abs(activation - own) for both in alive for activation, own in _same_place(*both)]
    missed = sum(not theirs["top"] or theirs["top"][0][2] < own.activity.maximum - 1e-3 for theirs, own in alive)
    return (
        f"top activations: {_largest(apart):.1e} apart at most at {len(apart)} common places; the highest is missing "
        f"for {missed} of {len(alive)} features"
    )


def _same_place(theirs: dict, ours):
    own = dict(zip(_places(ours.shown), ours.shown.activations.tolist(), strict=True))
    return [(value, own[row, at]) for row, at, value, _ in theirs["top"] if (row, at) in own]


def _effects(pairs: list[tuple[float, float]]) -> str:
    if not pairs:
        return "loss effects: it has none"
    theirs, ours = np.array(pairs).T
    felt = np.abs(ours) > 1e-4
    ratio = f", median ratio {np.median(theirs[felt] / ours[felt]):.2f}" if felt.any() else ""
    return f"loss effects: {np.abs(theirs - ours).max():.1e} apart at most{ratio}, {len(pairs)} compared"


def _bars(theirs: dict) -> int:
    return sum(theirs["histogram"]["counts"])


def _largest(values) -> float:
    return max(values, default=float("nan"))
