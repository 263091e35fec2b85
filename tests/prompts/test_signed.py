"""Where activations have a sign, a prompt's features are ordered by size: the overview, and sums over tokens."""

from types import SimpleNamespace

import numpy as np

from prompts.heatmap import heatmap_of
from prompts.ranking_several import scores_over_tokens

IDS = [1, 40, 50, 60]
ACTIVATIONS = np.array([[0, 1, 0, 1], [0, -5, 0, 1], [0, 0, -3, 0], [0, 2, 0, 2]], np.float32)  # [feature, token]


class Prompt:
    ids = IDS

    def active(self, position):
        features = np.flatnonzero(ACTIVATIONS[:, position])
        return features, ACTIVATIONS[features, position]

    def matrix(self, features):
        return ACTIVATIONS[np.asarray(features, int)]

    def is_special(self, position):
        return position == 0

    def loss_effects(self, features):
        return np.zeros((len(features), len(IDS)), np.float32)


def test_the_overview_takes_the_largest_in_size_and_scales_by_it():
    stored = SimpleNamespace(scales=lambda features: {})
    found = heatmap_of(Prompt(), [True, False, False, False], 1, stored)
    assert found["features"] == [1, 3, 0, 2]  # in the order of their peaks along the prompt
    assert found["maxima"] == [5, 2, 1, 3]
    assert found["activations"][0] == [0, -5, 0, 1] and found["activations"][3] == [0, 0, -3, 0]


def test_sums_over_tokens_keep_the_sign_and_are_ordered_by_size():
    question = SimpleNamespace(metric="act_size", positions=[1, 2, 3], ids=IDS)
    scores = scores_over_tokens(Prompt(), question, SimpleNamespace(exists=False))
    assert [(score.feature, score.score) for score in scores] == [(1, -4), (3, 4), (2, -3), (0, 2)]
