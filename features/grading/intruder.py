"""Which of five is the stranger? Four examples of a feature, and one of another at the same share of its maximum.

Answering needs no opinion of what the feature stands for, and guessing is right once in five.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..browse.feature_json import CorpusText
from ..engine.results import SHORT_CONTEXT, FeatureStatistics

OWN = 4
CHANCE = 1 / (OWN + 1)
APART = 0.25  # shares of the maximum
BEFORE, AFTER = SHORT_CONTEXT
Silent = Callable[[int, int, int], bool]  # (row, first position, last position) -> nothing active there


@dataclass(frozen=True)
class Intruder:
    """Five lines as text, {"tokens": [...], "position": n}, and which of them is the stranger."""

    lines: list[dict]
    stranger: int
    share: float  # of its maximum at which the feature's examples were taken, on average
    stranger_share: float


def intruder(
    own: FeatureStatistics,
    others: list[FeatureStatistics],
    silent: Silent,
    text: CorpusText,
    random: np.random.Generator,
) -> tuple[Intruder | None, str]:
    """The question, or why there is none."""
    rows, positions, shares = _examples(own)
    lines = {_text(text, row, position) for row, position in zip(rows, positions, strict=True)}
    if len(lines) < OWN:
        return None, f"No intruder question: it has {len(lines)} different examples, {OWN} are needed."
    chosen = _different(rows, positions, len(own.examples.random.rows), text, random)
    share = float(shares[chosen].mean())
    strangers = [
        (abs(other_share - share), other_share, int(row), int(position))
        for other in others
        for row, position, other_share in zip(*_examples(other), strict=True)
        if silent(int(row), int(position) - BEFORE, int(position) + AFTER) and _text(text, row, position) not in lines
    ]
    strangers = [one for one in strangers if one[0] <= APART]  # a much stronger or weaker one gives itself away
    if not strangers:
        return None, (
            "No intruder question: none of the features drawn beside it has an example at a like share of its maximum "
            "where this one is silent."
        )
    _, stranger_share, row, position = min(strangers)
    five = [_line(text, rows[at], positions[at]) for at in chosen]
    place = int(random.integers(OWN + 1))
    five.insert(place, _line(text, row, position))
    return Intruder(five, place, share, float(stranger_share)), ""


def _examples(feature: FeatureStatistics) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, positions and shares of the maximum of its random positives, and of the top where these are few. [n]"""
    groups = [feature.examples.random, feature.examples.top]
    rows, positions, values = (
        np.concatenate([getattr(group, name) for group in groups]) for name in ("rows", "positions", "activations")
    )
    return rows, positions, np.abs(values) / max(feature.activity.maximum, 1e-30)


def _different(rows, positions, drawn: int, text: CorpusText, random: np.random.Generator) -> list[int]:
    """OWN of the examples, random positives (the first `drawn` of them) first, no two of the same text."""
    seen, chosen = set(), []
    for at in [*random.permutation(drawn), *(drawn + random.permutation(len(rows) - drawn))]:
        line = _text(text, rows[at], positions[at])
        if line not in seen and len(chosen) < OWN:
            seen.add(line)
            chosen.append(int(at))
    return chosen


def _line(text: CorpusText, row: int, position: int) -> dict:
    """The short context around a token, without its place in the corpus."""
    ids, pieces, special = text[int(row)]
    first = max(0, int(position) - BEFORE)
    shown = range(first, min(len(pieces), int(position) + AFTER + 1))
    tokens = ["" if at in special and at < position else pieces[at] for at in shown]
    return {"tokens": tokens, "position": int(position) - first}


def _text(text: CorpusText, row: int, position: int) -> str:
    return "".join(_line(text, row, position)["tokens"])
