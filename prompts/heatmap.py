"""Which features act anywhere in the prompt? The strongest of every token, as a token x feature picture."""

from typing import TYPE_CHECKING

import numpy as np

from features.browse.feature_json import numbers

from .stored_features import StoredFeatures

if TYPE_CHECKING:
    from features.engine.prompt import PromptActivations

PER_TOKEN = 3  # strongest features of each token that may appear
MOST_FEATURES = 40
MOST_CELLS = 4000  # more is a carpet nobody reads
FEWEST_FEATURES = 8  # however long the prompt


def heatmap_of(prompt: "PromptActivations", special: list[bool], max_density: float, stored: StoredFeatures) -> dict:
    """{"features", "maxima", "activations": [features][tokens]}, features in the order of their peaks.

    `special` tells of each token whether it is BOS or the like, which take no part. The maxima are the corpus's, as
    everywhere where a colour stands for an activation; without statistics the prompt's own.
    """
    peaks = _peaks(prompt, special)
    scales = stored.scales(peaks)
    peaks = {feature: peak for feature, peak in peaks.items() if scales.get(feature, (0,))[0] <= max_density}
    maxima = {feature: scales.get(feature, (0, 0))[1] or peak for feature, peak in peaks.items()}
    strongest = sorted(peaks, key=lambda feature: -peaks[feature] / maxima[feature])[: _most_rows(len(special))]
    features = np.array(strongest, dtype=np.int64)  # [rows]
    # Without a feature the matrix has no second dimension of its own: the shape says it.
    activations = np.asarray(prompt.matrix(features)).reshape(len(features), len(special))  # [rows, tokens]
    activations = np.where(special, 0, activations)
    # The position of each row's peak sorts the rows, so that they light up from left to right.
    order = np.argsort([np.abs(row).argmax() for row in activations], kind="stable").astype(int)  # [rows]
    in_order = features[order].tolist()
    return {
        "features": in_order,
        "maxima": [float(maxima[feature]) for feature in in_order],
        "activations": [numbers(row) for row in activations[order]],
    }


def _peaks(prompt: "PromptActivations", special: list[bool]) -> dict[int, float]:
    """Features among the strongest of some token, each with the size of its largest activation there."""
    peaks = {}
    for position in np.flatnonzero(~np.asarray(special)):
        features, activations = prompt.active(int(position))  # [active]
        sizes = np.abs(activations)
        # The negated sizes sort descending: the first PER_TOKEN indices are those of the strongest.
        for strongest in np.argsort(-sizes)[:PER_TOKEN]:
            feature = int(features[strongest])
            peaks[feature] = max(peaks.get(feature, 0.0), float(sizes[strongest]))
    return peaks


def _most_rows(tokens: int) -> int:
    return min(MOST_FEATURES, max(FEWEST_FEATURES, MOST_CELLS // tokens))
