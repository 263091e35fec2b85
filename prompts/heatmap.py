"""Which features act anywhere in the prompt? The strongest of every token, as a token x feature picture."""

import numpy as np

from features.browse.feature_page import numbers

PER_TOKEN = 3  # strongest features of each token that may appear
MOST_FEATURES = 40
MOST_CELLS = 4000  # more is a carpet nobody reads
FEWEST_FEATURES = 8  # however long the prompt


def overview_of(prompt, special, max_density, stored):
    """{"features", "maxima", "activations": [features][tokens]}, features in the order of their peaks.

    The maxima are the corpus's, as everywhere where a colour stands for an activation; without statistics the
    prompt's own.
    """
    peaks = _peaks(prompt, special)
    known = stored.scales(peaks)
    peaks = {feature: peak for feature, peak in peaks.items() if known.get(feature, (0,))[0] <= max_density}
    maxima = {feature: known.get(feature, (0, 0))[1] or peak for feature, peak in peaks.items()}
    features = sorted(peaks, key=lambda feature: -peaks[feature] / maxima[feature])
    features = np.array(features[: _room(len(special))], dtype=np.int64)
    activations = np.asarray(prompt.matrix(features)).reshape(len(features), len(special))
    activations = np.where(special, 0, activations)
    order = np.argsort([np.abs(row).argmax() for row in activations], kind="stable").astype(int)
    return {
        "features": features[order].tolist(),
        "maxima": [float(maxima[feature]) for feature in features[order].tolist()],
        "activations": [numbers(row) for row in activations[order]],
    }


def _peaks(prompt, special):
    """Features among the strongest of some token, each with the size of its largest activation there."""
    peaks = {}
    for position in np.flatnonzero(~np.asarray(special)):
        features, activations = prompt.active(int(position))
        sizes = np.abs(activations)
        for at in np.argsort(-sizes)[:PER_TOKEN]:
            feature = int(features[at])
            peaks[feature] = max(peaks.get(feature, 0.0), float(sizes[at]))
    return peaks


def _room(tokens):
    return min(MOST_FEATURES, max(FEWEST_FEATURES, MOST_CELLS // tokens))
