"""What is said of a whole SAE? Its figures in words, and how densely its features fire."""

import numpy as np

from ..engine.results import DENSE_ABOVE
from ..models import SAE, Feature
from ..templatetags.formatting import figure, percent

BINS = 60


def figures(sae: SAE) -> list[tuple[str, str, str]]:
    """(name, value, what it means) of each figure of the shown statistics."""
    statistics = sae.statistics
    if statistics is None:
        return []
    return [
        ("L0", figure(statistics.l0), "features active on a token, on average"),
        ("Explained variance", percent(statistics.explained_variance), "of the activations it reads"),
        (
            "Loss recovered",
            percent(statistics.loss_recovered),
            f"loss {figure(statistics.loss_clean)} as it is, "
            f"{figure(statistics.loss_reconstructed)} with the reconstruction, "
            f"{figure(statistics.loss_zero_ablated)} with nothing (nats, {statistics.loss_tokens:,} tokens)",
        ),
        ("Dead", f"{statistics.dead:,}", f"of {sae.d_sae:,} features never fired on these tokens"),
        ("Dense", f"{statistics.dense:,}", f"features fire on more than {percent(DENSE_ABOVE, 2)} of tokens"),
    ]


def density_histogram(sae: SAE) -> dict | None:
    """How many features have which density; the edges are powers of ten."""
    if sae.statistics_id is None:
        return None
    densities = Feature.objects.shown_of(sae).alive().values_list("density", flat=True)
    logs = np.log10(np.fromiter(densities, dtype=np.float64))
    if not len(logs):
        return None
    counts, edges = np.histogram(logs, BINS, (np.floor(logs.min()), 0))
    return {"edges": edges.round(4).tolist(), "counts": counts.tolist()}
