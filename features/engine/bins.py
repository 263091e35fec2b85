"""Edges of the equal bins of a histogram."""

import numpy as np

BINS = 50


def equal_edges(low, high, bins: int = BINS) -> np.ndarray:
    """From numbers or from arrays of them [...]. [..., bins + 1] float32

    Each one's are the same whatever stands beside it, which those of np.linspace are not.
    """
    low, high = (np.asarray(end, np.float64)[..., None] for end in (low, high))  # [..., 1] each
    edges = low + (high - low) / bins * np.arange(bins + 1)
    # Exactly the highest number: rounding must not leave it outside the last bin.
    edges[..., -1:] = high
    return edges.astype(np.float32)
