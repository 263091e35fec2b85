"""Where the variance lies is told as the definition says, outliers and first positions apart."""

import numpy as np
import torch

from features.engine import reference
from features.engine.self_check import check_sae, counted_activations
from features.engine.variance import variance_shares


def test_it_is_the_definition_on_activations_with_outliers(subject, rows):
    h = counted_activations(subject, rows)
    h[7] *= 40  # an outsized token
    is_first = torch.zeros(len(h), dtype=bool)
    is_first[::31] = True
    found = variance_shares(subject.sae, h, is_first)
    reconstruction = subject.sae.decode(subject.sae.encode(h), h).double()
    said = reference.variance_shares(h.double(), reconstruction, is_first)
    np.testing.assert_allclose([found.first, found.outliers, found.explained_without], said, rtol=1e-5)
    assert found.outliers > 0.1  # and it is found: one token of a thousand


def test_a_self_check_tells_it_of_its_rows(subject, rows):
    shares = check_sae(subject, rows).to_dict()["variance"]
    assert 0 < shares["first"] < 0.2 and shares["explained_without"] is not None
    assert check_sae(subject, rows, first=20).tokens < check_sae(subject, rows).tokens
