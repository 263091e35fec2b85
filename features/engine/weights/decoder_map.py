"""Decoders on a flat map: those that write alike lie near each other, as far as two dimensions let them.

t-SNE (van der Maaten and Hinton, 2008; Barnes-Hut form, van der Maaten 2014) on the true neighbours by cosine. The same
seed gives the same map.
"""

from collections.abc import Callable

import numpy as np

PERPLEXITY = 30
NEIGHBOURS = 3 * PERPLEXITY + 1  # that t-SNE looks at
ROWS = 1024  # whose cosines with all are held at a time
ROUNDS, ITERATIONS = 4, 250  # of t-SNE; the first with early exaggeration
EXAGGERATION = 12.0
SPREAD = 1e-4  # standard deviation of the first coordinates


def decoder_map(
    decoder: np.ndarray, seed: int = 0, report: Callable[[int, int], None] = lambda done, total: None
) -> np.ndarray:
    """Where each row of `decoder` [d_sae, d] lies. [d_sae, 2] float32; rows of zeros have NaN.

    `report` hears how many steps are done, and may raise to stop.
    """
    from sklearn.decomposition import PCA

    lengths = np.linalg.norm(decoder, axis=1)
    places = np.full((len(decoder), 2), np.nan, np.float32)
    written = np.isfinite(lengths) & (lengths > 0)
    units = (decoder[written] / lengths[written, None]).astype(np.float32)
    n = len(units)
    if n < 4:  # too few for neighbours
        places[written] = np.arange(2 * n, dtype=np.float32).reshape(n, 2)
        return places
    # A round counts as many rows: both take about as long.
    total = n + ROUNDS * n
    graph = _neighbours(units, min(NEIGHBOURS, n - 1), lambda done: report(done, total))
    at = PCA(2, svd_solver="randomized", random_state=seed).fit_transform(units)
    # As small as a random start would be: t-SNE hardly moves points that begin far apart.
    at *= SPREAD / (at[:, 0].std() or 1)
    for number in range(ROUNDS):
        report(n + number * n, total)
        at = _round(graph, at.astype(np.float32), seed, first=number == 0)
    places[written] = at
    return places


def _neighbours(units: np.ndarray, most: int, report):
    """Distances of each unit row to its nearest ones, itself among them. [n, n] sparse"""
    from scipy.sparse import csr_matrix

    n = len(units)
    indices, distances = np.empty((n, most + 1), np.int32), np.empty((n, most + 1), np.float32)
    for start in range(0, n, ROWS):
        report(start)
        cosines = units[start : start + ROWS] @ units.T  # [rows, n]
        own = np.arange(len(cosines))
        cosines[own, start + own] = np.inf  # itself is the nearest
        # First the most + 1 largest in any order, then those alone in order: to sort all n would take most of the time.
        nearest = np.argpartition(-cosines, most, axis=1)[:, : most + 1]
        order = np.argsort(-np.take_along_axis(cosines, nearest, 1), axis=1, kind="stable")
        nearest = np.take_along_axis(nearest, order, 1)
        indices[start : start + ROWS] = nearest
        found = np.minimum(np.take_along_axis(cosines, nearest, 1), 1.0)
        # Of unit rows |u - v|^2 = 2 - 2 cos(u, v); rounding must not make it negative.
        distances[start : start + ROWS] = np.sqrt(2 - 2 * found)
    # Each row has most + 1 entries, so the CSR matrix has its row pointers at multiples of that.
    offsets = np.arange(0, n * (most + 1) + 1, most + 1)
    return csr_matrix((distances.ravel(), indices.ravel(), offsets), shape=(n, n))


def _round(graph, at: np.ndarray, seed: int, first: bool) -> np.ndarray:
    """Some iterations from where the points are: t-SNE tells nobody how far it is, so it is taken in pieces."""
    from sklearn.manifold import TSNE

    n = len(at)
    return TSNE(
        metric="precomputed",
        perplexity=min(PERPLEXITY, (n - 1) / 4),
        early_exaggeration=EXAGGERATION if first else 1.0,
        learning_rate=max(n / EXAGGERATION / 4, 50),
        max_iter=ITERATIONS,
        init=at,
        random_state=seed,
    ).fit_transform(graph)
