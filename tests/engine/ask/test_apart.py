"""AUROC of all features at once is that of their pairs, and what chose a feature does not judge it."""

import numpy as np
import pytest

from features.engine import reference_questions
from features.engine.ask.apart import auroc, tell_apart


def made(n, m, d_sae=40):
    rng = np.random.default_rng(5)
    return [rng.integers(0, 4, (count, d_sae)).astype(np.float32) / 2 for count in (n, m)]


def test_auroc_is_that_of_the_pairs_ties_included():
    having, lacking = made(7, 5)
    expected = [reference_questions.auroc(having[:, i], lacking[:, i]) for i in range(40)]
    np.testing.assert_allclose(auroc(having, lacking), expected, rtol=0, atol=1e-15)


def test_features_are_chosen_on_every_other_text_and_ordered_by_the_rest():
    having, lacking = made(8, 9)
    having[:, 3], lacking[:, 3] = 2, 0  # tells all apart
    having[:, 4], lacking[:, 4] = 2, 0
    having[1::2, 4] = 0  # only those that choose
    having[:, 5] = lacking[:, 5] = 0  # never active
    found = tell_apart(having, lacking)
    assert found.features[0] == 3 and found.held_out[0] == found.chosen_on[0] == 1
    at = found.features.tolist().index(4)
    assert (found.chosen_on[at], found.held_out[at]) == (1, 0.5)
    assert 5 not in found.features and (np.diff(found.held_out) <= 0).all()
    for i, held_out in zip(found.features, found.held_out, strict=True):
        assert held_out == pytest.approx(reference_questions.auroc(having[1::2, i], lacking[1::2, i]))
