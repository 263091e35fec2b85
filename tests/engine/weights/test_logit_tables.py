"""Histograms of many rows at once are those of one at a time."""

import numpy as np
import torch

from features.engine.bins import equal_edges
from features.engine.weights.logit_tables import histograms


def _rows():
    g = torch.Generator().manual_seed(0)
    grid = torch.linspace(-1, 1, 51).repeat(8)  # every value on an edge
    return [torch.randn(408, generator=g), 1e-6 * torch.randn(408, generator=g), grid, torch.full((408,), 0.3),
            1e-39 * torch.randn(408, generator=g),
            torch.randn(408, generator=g).exp() ** 4]  # fmt: skip


def _counts(ascending, edges):
    """Values from each edge to the next one, its left edge inside; the last bin closed."""
    below = np.searchsorted(ascending, edges)
    below[-1] = len(ascending)
    return np.diff(below)


def test_a_value_is_counted_where_the_edges_say():
    rows = torch.stack(_rows())
    edges, counts = histograms(rows.numpy(), *(end.numpy() for end in rows.aminmax(dim=1)), 408)
    for n, row in enumerate(np.sort(rows.numpy(), axis=1)):
        np.testing.assert_array_equal(edges[n], equal_edges(row[0], row[-1]))
        np.testing.assert_array_equal(counts[n], _counts(row, edges[n]))
