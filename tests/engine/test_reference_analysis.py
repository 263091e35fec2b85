"""The definitions of what is worked out after statistics are shown give what a hand and a pencil give."""

import pytest
import torch

from features.engine import reference_analysis

from .test_reference_questions import B, T


def test_importance_is_the_mean_effect_times_the_density_in_millions():
    a, effects, predicts = B("11010000"), T(-1, 3, 9, -0.5, 9, 9, 9, 9), B("10111110")
    worth, helps = reference_analysis.importance(a, effects, predicts)
    assert (float(worth), float(helps)) == (-0.75 * 3 / 8 * 1e6, 1)  # of -1 and -0.5; nothing follows the second


def test_its_interval_draws_rows():
    a, effects, predicts = B("1111"), T(-1, -1, -3, 9), B("1110")
    rows, draws = torch.tensor([0, 0, 1, 1]), T(*[[2.0, 0.0]] * 39, [0.0, 2.0])
    low, high = reference_analysis.importance_interval(a, effects, predicts, rows, draws)
    # 39 draws of the first row alone, -1, and one of the second, -3: the 2.5 % quantile lies 0.975 on the way up
    assert (float(low), float(high)) == (pytest.approx((-3 + 0.975 * 2) * 1e6), -1e6)


def test_how_many_features_carry_nine_tenths():
    assert reference_analysis.carried(T(-1, -9, -5, 0), T(-8, -60, -31, -1)) == 2  # 60, 91, 99, 100 of 100


def test_what_the_sae_misses_is_a_difference_of_losses():
    assert reference_analysis.reconstruction_cost(T(1, 2), T(1.5, 1)).tolist() == [0.5, -1]


def test_a_dead_feature_is_nearest_where_the_least_is_missing():
    gap, token = reference_analysis.gap(T(-3, 0.5, 0.75), T(0, 1, 2))
    assert (float(gap), int(token)) == (0.5, 1)


def test_what_stands_beside_is_of_the_same_row_and_counted():
    ids, rows = torch.tensor([5, 6, 7, 8, 9]), torch.tensor([0, 0, 0, 1, 1])
    assert reference_analysis.beside(ids, B("11011"), rows, 1).tolist() == [6, -1, -1, 9, -1]
    assert reference_analysis.beside(ids, B("11111"), rows, -1).tolist() == [-1, 5, 6, -1, 8]


def test_shares_of_a_token_both_ways():
    a, ids = B("11100"), torch.tensor([4, 4, 7, 4, 7])
    of_feature, of_token = reference_analysis.token_shares(a, ids, 4)
    assert (float(of_feature), float(of_token)) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert float(reference_analysis.weighted_token_share(T(1, -2, 1, 0, 0), ids, 4)) == 0.75


def test_entropy_and_skew():
    assert float(reference_analysis.entropy(T(2, 1, 1, 0))) == 1.5
    assert float(reference_analysis.skew(T(0, 0, 0, 4))) == pytest.approx((3 * -1 + 27) / 4 / 3**1.5)


def test_two_features_fire_together_and_one_behind_the_other():
    a, b, rows = B("11010000"), B("01100000"), torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    assert [float(x) for x in reference_analysis.co_activation(a, b)] == pytest.approx([1 / 3, 1 / 2, 8 / 6])
    # b follows the first and the second token of a.
    assert [float(x) for x in reference_analysis.next_activation(a, b, rows)] == pytest.approx([2 / 3, 1])
    assert float(reference_analysis.next_activation(B("00010000"), B("00001000"), rows)[0]) == 0  # another row
