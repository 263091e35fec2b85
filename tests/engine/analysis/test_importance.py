"""Importance, its interval and its curve are those of all ablations, one by one."""

import numpy as np
import pytest
import torch

from features.engine import reference_analysis as reference
from features.engine.analysis import importance
from features.engine.ask.intervals import draws

from ..small import D_SAE, LENGTH
from .conftest import SPECIAL


@pytest.fixture(scope="module")
def effects(twin, dense, rows):
    """Of every feature on the token behind each counted one; 0 where none is. [tokens, d_sae]"""
    by_row = [twin.loss_effects(torch.from_numpy(row.astype(np.int64))) for row in rows]
    after = torch.clamp(dense.positions + 1, max=LENGTH - 1)  # an effect stands under the token that is predicted
    return torch.stack(by_row)[dense.rows, after]


@pytest.fixture(scope="module")
def found(subject, kept, rows, dense):
    return importance.importances(subject, kept, rows, 1, len(dense.f))


def few(dense, predicts):
    """The features all of whose positives are taken."""
    counts = ((dense.f > 0) & predicts[:, None]).sum(0)
    return [i for i in range(D_SAE) if 0 < counts[i] <= importance.POSITIVES], counts


def test_it_is_the_mean_effect_of_all_positives_with_a_counted_token_behind(found, dense, effects, predicts, subject):
    indices, counts = few(dense, predicts)
    assert len(indices) > 20 and (counts == 0).any()
    assert found.positives.tolist() == counts.clamp(max=importance.POSITIVES).tolist()
    for i in indices:
        worth, helps = reference.importance(dense.f[:, i] > 0, effects[:, i], predicts)
        assert found.importance[i] == pytest.approx(float(worth), rel=1e-3, abs=1e-2)
        assert found.helps[i] == pytest.approx(float(helps), abs=0.011)  # effects of about 0 may round to either side
    assert np.isnan(found.importance[counts == 0]).all()


def test_its_interval_is_a_bootstrap_over_rows(found, dense, effects, predicts, rows):
    drawn = torch.from_numpy(draws(len(rows), 0)).double()
    tried = 0
    for i in few(dense, predicts)[0]:
        a = dense.f[:, i] > 0
        if len(dense.rows[a & predicts].unique()) < 2:
            assert np.isnan([found.low[i], found.high[i]]).all()
            continue
        ends = reference.importance_interval(a, effects[:, i], predicts, dense.rows, drawn)
        assert [found.low[i], found.high[i]] == pytest.approx(ends.tolist(), rel=2e-3, abs=0.05)
        tried += 1
    assert tried > 10


def test_no_feature_has_more_positives_than_are_wanted_and_they_are_drawn_evenly(kept, rows, dense, monkeypatch):
    monkeypatch.setattr(importance, "POSITIVES", 5)
    every = np.arange(len(rows))
    common = int(kept.counts.argmax())
    drawn = [importance.positives(kept, rows, every, 1, SPECIAL, seed) for seed in range(16)]
    for shown, ranks in drawn:
        assert np.bincount(shown["feature"]).max() == 5 and ranks.max() == 4
        assert (np.diff(shown["row"]) >= 0).all()
    halves = [(shown["row"][shown["feature"] == common] < 15).mean() for shown, _ in drawn]
    true = np.mean((dense.rows[dense.f[:, common] > 0] < 15).numpy())
    assert np.mean(halves) == pytest.approx(true, abs=0.15)


def test_the_curve_is_ordered_by_one_half_and_sums_the_other():
    rng = np.random.default_rng(0)
    ordering, summed = rng.normal(-1, 1, (2, 300))
    curve = importance.curve(np.append(ordering, np.nan), np.append(summed, 1.0))
    assert curve.carried == reference.carried(torch.from_numpy(ordering), torch.from_numpy(summed))
    assert (curve.of, curve.features[-1], curve.shares[-1]) == (300, 300, pytest.approx(1))
    assert curve.total == pytest.approx(summed.sum())
    nothing = importance.curve(ordering, np.abs(summed))
    assert nothing.carried is None and nothing.total > 0


def test_what_orders_the_curve_is_not_what_it_sums():
    shown = np.zeros(8, importance.ENTRY)
    shown["feature"] = [0] * 4 + [1] * 4
    ranks = np.tile(np.arange(4), 2)
    effects = np.where(ranks % 2 == 0, np.repeat([-1.0, -0.5], 4), np.repeat([-0.1, -0.3], 4))
    curve = importance.of_effects(shown, ranks, effects, np.full(2, 1e-6), np.arange(1), 16, 0).curve
    assert curve.shares.tolist() == pytest.approx([0.25, 1])  # 0 is first by the one half, and has 0.1 of 0.4 there
