"""What of a feature's token statistics is kept for its page, and how is it had back?"""

from collections.abc import Iterable

import numpy as np

DIGITS = 5  # significant digits of shares and sums


def tokens_payload(found) -> dict:
    """Of `engine.analysis.token_statistics.TokenStatistics`: lists of numbers, no name twice."""
    return {
        "count": found.count,
        "size": _short([found.size])[0],
        "entropy": _short([found.entropy, found.weighted_entropy]),
        "commonest": _short([found.commonest])[0],
        "skew": _short([found.skew])[0],
        "position": [found.position[0], *_short([found.position[1]])],
        "by_position": _short(found.by_position),
        "by_kind": [_short(kind) for kind in found.by_kind],
        **{name: _columns(vars(place).values()) for name, place in found.places.items()},
        "together": _columns(vars(found.together).values()),
        "next": _columns(vars(found.next).values()),
    }


def _columns(arrays: Iterable[np.ndarray]) -> list[list]:
    return [array.tolist() if array.dtype.kind in "iu" else _short(array) for array in arrays]


def _short(values) -> list[float | None]:
    """To so many digits; None where there is no such figure."""
    return [float(f"{value:.{DIGITS}g}") if value - value == 0 else None for value in np.asarray(values).tolist()]
