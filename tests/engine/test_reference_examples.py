"""The examples of a feature, worked by hand."""

import torch

from features.engine import reference_examples


def T(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_windows_are_near_equal_where_the_token_is_the_same_and_one_place_in_ten_another():
    window = torch.arange(11)
    for changed, near in (([], True), ([3], True), ([5], False), ([3, 4], False)):
        other = window.clone()
        other[changed] = 99
        assert reference_examples.near_equal(window, other) is near
    cut = torch.where(window < 5, -1, window)  # begins with the token itself: six places in common
    assert reference_examples.near_equal(window, cut)
    assert not reference_examples.near_equal(torch.where(window == 9, 99, window), cut)  # one of six is too many
    assert not reference_examples.near_equal(torch.where(window > 5, -1, window), cut)  # only the token in common


def test_top_activations_keep_a_window_apart_and_show_a_text_once():
    ids = torch.tensor([[*range(100, 130)], [*range(100, 130)], [*range(500, 530)]])
    where = [(0, 8), (0, 18), (0, 19), (1, 8), (2, 8), (2, 0)]
    rows, positions = torch.tensor(where).T
    # -9 is largest; 8 is 10 tokens from it, 7 is 11; 6 has the first one's text; 3 is 8 tokens from 5; 0 is inactive
    found = reference_examples.top_activations(T(-9, 8, 7, 6, 5, 3), rows, positions, ids)
    assert found == [(0, 2), (2, 1), (4, 1)]
    assert reference_examples.top_activations(T(-9, 8, 7, 6, 5, 3), rows, positions, ids, n=2) == [(0, 1), (2, 1)]
    assert reference_examples.top_activations(T(0, 0, 0, 0, 0, 3), rows, positions, ids) == [(5, 1)]


def test_windows_that_differ_in_few_places_come_once():
    ids = torch.tensor([[*range(100, 130)]] * 4)
    ids[1, 11] = 7  # one place of the eleven around position 8
    ids[2, 4], ids[2, 12] = 7, 7  # two
    ids[3, 8] = 7  # the token itself
    rows, positions = torch.arange(4), torch.full((4,), 8)
    assert reference_examples.top_activations(T(4, 3, 2, 1), rows, positions, ids) == [(0, 2), (2, 1), (3, 1)]
    cut = torch.tensor([[0, 0, *range(100, 106)], [*range(100, 106), 0, 0]])  # the same six tokens, cut elsewhere
    assert reference_examples.top_activations(T(2, 1), torch.tensor([0, 1]), torch.tensor([2, 0]), cut) == [(0, 2)]


def test_a_window_cut_off_by_an_end_is_another_text():
    ids = torch.tensor([[7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7], [7] * 11])
    rows, positions = torch.tensor([0, 1]), torch.tensor([0, 10])
    assert reference_examples.top_activations(T(2, 1), rows, positions, ids) == [(0, 1), (1, 1)]
