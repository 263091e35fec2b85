"""Which features were born, died, came back and changed, told by hand."""

import numpy as np

from features.engine.training.record import RECORD, TOPS
from features.engine.training.turnover import changed, in_common, turnover


def test_births_deaths_and_revivals():
    counts = np.array([[0, 50, 50, 0, 5], [40, 0, 50, 9, 0], [40, 30, 50, 0, 50]])  # [checkpoints, features]
    found = turnover(counts)
    assert np.argwhere(found.born).tolist() == [[1, 0], [2, 4]]
    assert np.argwhere(found.died).tolist() == [[1, 1]]
    assert np.argwhere(found.revived).tolist() == [[2, 1]]


def test_nothing_is_told_of_no_checkpoint():
    assert turnover(np.zeros((0, 4))).born.shape == (0, 4)


def test_positions_in_common_count_once_though_few_are_repeated():
    tops = np.array([[5, 7, 5, 5], [1, 2, 3, 4]])
    assert in_common(tops, np.array([[5, 9, 5, 5], [4, 3, 8, 9]])).tolist() == [1, 2]


def test_a_feature_has_changed_by_its_decoder_or_by_its_positions():
    before, now = np.zeros(4, RECORD), np.zeros(4, RECORD)
    before["tops"] = now["tops"] = np.arange(TOPS)
    now["before"] = [0.99, 0.5, 0.99, 0.5]
    now["tops"][2] = np.arange(TOPS) + TOPS - 4  # four of twenty in common
    assert changed(before, now, np.array([True, True, True, False])).tolist() == [False, True, True, False]
