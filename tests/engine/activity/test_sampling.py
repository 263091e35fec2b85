"""Random examples: any set of places is as likely as any other, and a feature's do not depend on its neighbours."""

import numpy as np
import pytest

from features.engine.activity.sampling import draw, keys_of


@pytest.mark.parametrize(("size", "most"), [(6, 5), (21, 20), (400, 20), (3000, 20)])
def test_all_places_are_as_likely_and_none_comes_twice(size, most):
    found, filled = draw(keys_of(3, np.arange(4000)), np.full(4000, size), most)
    assert filled.all() and (np.diff(found) > 0).all()
    drawn, expected = np.bincount(found.ravel(), minlength=size), 4000 * most / size
    assert len(drawn) == size
    assert abs(drawn - expected).max() < 6 * np.sqrt(expected)


def test_all_pairs_are_as_likely():
    found, _ = draw(keys_of(3, np.arange(30_000)), np.full(30_000, 5), 2)
    drawn = np.bincount(found[:, 0] * 5 + found[:, 1])
    assert abs(drawn[drawn > 0] - 3000).max() < 6 * np.sqrt(3000)
    assert (drawn > 0).sum() == 10


def test_where_there_are_few_all_are_drawn():
    found, filled = draw(keys_of(0, np.arange(3)), np.array([0, 2, 5]), 5)
    assert [row[own].tolist() for row, own in zip(found, filled, strict=True)] == [[], [0, 1], [0, 1, 2, 3, 4]]


def test_a_group_draws_the_same_alone_and_another_seed_draws_otherwise():
    sizes, groups = np.array([50, 7, 100_000]), np.arange(3)
    together = draw(keys_of(1, groups), sizes, 5)[0]
    for n in groups:
        np.testing.assert_array_equal(draw(keys_of(1, groups[n : n + 1]), sizes[n : n + 1], 5)[0][0], together[n])
    assert (draw(keys_of(2, groups), sizes, 5)[0] != together).any(1).all()
