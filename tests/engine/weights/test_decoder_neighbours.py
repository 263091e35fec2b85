"""Neighbours found with the screen are those of all cosines, for rows far apart, rows in a swarm, and equal ones."""

import numpy as np
import pytest
import torch

from features.engine import reference
from features.engine.weights import decoder_neighbours
from features.engine.weights.decoder_neighbours import DecoderRows


def _draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _swarm():
    """Most rows almost the same, as rare features of a real SAE are."""
    return torch.cat([_draw(100, 64), _draw(1, 64, seed=1) + 0.02 * _draw(300, 64, seed=2)])


def _twins():
    rows = _draw(200, 64)
    return torch.cat([rows, rows * 3, rows + 1e-4 * _draw(200, 64, seed=3)])


ROWS = {"apart": _draw(500, 64), "swarm": _swarm(), "twins": _twins(), "few": _draw(4, 64)}


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("many", [0.1, 2.0])
def test_screened_neighbours_are_the_nearest(rows, many, monkeypatch):
    monkeypatch.setattr(decoder_neighbours, "bfloat16_pays", lambda device: True)
    monkeypatch.setattr(decoder_neighbours, "MANY", many)
    features = np.arange(0, len(rows), 3)
    exact = reference.decoder_cosine(rows[features].double(), rows.double())
    exact[np.arange(len(features)), features] = -2
    count = min(10, len(rows) - 1)
    for own, found in zip(exact, DecoderRows(rows).neighbours(features), strict=True):
        assert len(set(found.indices.tolist())) == count
        np.testing.assert_allclose(found.cosine, own.topk(count).values, atol=1e-6)
        np.testing.assert_allclose(own[found.indices], found.cosine, atol=1e-6)
