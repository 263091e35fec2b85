"""A quantile is a share of all tokens below a value, and its tail is what must be right."""

import numpy as np
import pytest
import torch

from features.engine import reference
from features.engine.activity.quantiles import quantile, quantile_ranks, tail_count, values_at_ranks


def test_ranks_are_one_apart_at_the_top_and_never_more_than_two_percent_later():
    ranks = quantile_ranks(10**7)
    assert list(ranks[:50]) == list(range(1, 51))
    assert ranks[-1] == 10**7
    assert (ranks[1:] <= np.maximum(ranks[:-1] + 1, ranks[:-1] * 1.02)).all()


@pytest.mark.parametrize("count", [1, 2, 49, 1000, 60_000])
@pytest.mark.parametrize("shape", ["exponential", "uniform", "ties"])
def test_tails_are_within_two_percent_and_exact_where_short(count, shape):
    rng = np.random.default_rng(count)
    values = {"exponential": rng.exponential, "uniform": rng.random, "ties": lambda size: rng.integers(1, 9, size=size)}
    values = np.sort((values[shape](size=count) + 0.01).astype(np.float32))[::-1]
    sketch = values_at_ranks(values)
    asked = np.concatenate([values[:: max(1, count // 300)], rng.random(50).astype(np.float32) * values[0]])
    exact = reference.act_quantile(*map(torch.from_numpy, (values.copy(), asked))).numpy()
    naive = np.rint((1 - exact) * count)  # of a feature that is active on every token
    found = tail_count(sketch, count, asked)
    if shape != "ties":
        assert (np.abs(found - naive) <= np.where(naive <= 50, 0, 0.02 * naive)).all()
    assert (np.abs(found - naive) <= np.maximum(0.02 * naive, 0)).all()


def test_a_larger_value_never_has_a_smaller_quantile():
    values = np.sort(np.random.default_rng(0).exponential(size=20_000).astype(np.float32))[::-1]
    asked = np.sort(np.concatenate([values, values * 1.3, [0, 99]]))
    assert (np.diff(quantile(values_at_ranks(values), len(values), 10**6, asked)) >= 0).all()


def test_inactive_values_rank_at_zero_and_the_highest_stays_below_one():
    values = np.array([3.0, 2.0, 1.0], np.float32)
    found = quantile(values_at_ranks(values), 3, 1000, [0.0, -1.0, 1.0, 3.0, 4.0])
    assert list(found[:2]) == [0, found[2]]  # a sign says which way, not how rare
    assert found[2] == pytest.approx(0.997)
    assert found[3] == pytest.approx(0.999)
    assert 0.999 < found[4] < 1


def test_an_active_value_never_ranks_below_one_minus_the_density():
    values = np.sort(np.random.default_rng(1).random(500).astype(np.float32))[::-1]
    assert quantile(values_at_ranks(values), 500, 10_000, [values[-1], 1e-9]).min() >= 1 - 500 / 10_000


def test_a_dead_feature_that_fires_on_a_prompt_ranks_above_everything_seen():
    assert quantile(np.zeros(0, np.float32), 0, 1000, [0.5])[0] == pytest.approx(1 - 0.5 / 1000)
