"""The first features of a prompt are those that the reference, which sorts all of them, puts first."""

import numpy as np
import pytest
import torch

from features.engine import reference
from features.engine.prompt import analyse, rank

from .twin import Twin


@pytest.fixture(scope="module")
def twin(small_folder):
    return Twin.read(small_folder)


@pytest.fixture(scope="module")
def ids(subject):
    return subject.vocabulary.ids("the win is in the wind")


@pytest.fixture(scope="module")
def prompt(subject, ids):
    return analyse(subject, ids)


@pytest.fixture(scope="module")
def dense(twin, ids):
    """[tokens, d_sae]"""
    return twin.encode(twin.run(torch.tensor(ids))[0])


@pytest.fixture(scope="module")
def effects(twin, ids):
    """Under the predicted token. [tokens, d_sae]"""
    return twin.loss_effects(torch.tensor(ids))


def _quantiles(features, activations):
    """Made up, so that it orders differently from size."""
    return 1 - (features % 7 + 1) / (100 * activations)


def test_activations_are_the_dense_ones(prompt, dense):
    np.testing.assert_allclose(prompt.matrix(range(dense.shape[1])), dense.T, rtol=1e-4, atol=1e-5)
    for position in range(len(prompt)):
        features, activations = prompt.active(position)
        np.testing.assert_array_equal(features, np.flatnonzero(dense[position]))
        np.testing.assert_allclose(activations, dense[position, features], rtol=1e-4, atol=1e-5)


def test_act_size_puts_the_largest_first_over_all_features(prompt, dense):
    for position in range(1, len(prompt)):
        ranking = rank(prompt, position, "act_size", top=5)
        expected = reference.rank("act_size", position, dense)
        assert [score.feature for score in ranking.scores] == expected[:5]
        assert ranking.active == len(expected)
        sizes = dense[position, expected[:5]].tolist()
        assert [s.score for s in ranking.scores] == pytest.approx(sizes, rel=1e-4, abs=1e-5)


def test_act_quantile_puts_the_rarest_value_first(prompt, dense):
    ranking = rank(prompt, 4, "act_quantile", quantiles=_quantiles)
    expected = reference.rank("act_quantile", 4, dense, quantiles=_quantiles(torch.arange(dense.shape[1]), dense))
    assert [score.feature for score in ranking.scores] == expected[:10]
    assert all(score.score == score.quantile for score in ranking.scores)


def test_loss_effect_ranks_what_was_active_before_by_what_it_does_to_the_token(prompt, dense, effects):
    for position in (2, 5, len(prompt) - 1):
        ranking = rank(prompt, position, "loss_effect", top=4)
        expected = reference.rank("loss_effect", position, dense, effects=effects)[:4]
        assert ranking.activation_position == position - 1
        assert [score.feature for score in ranking.scores] == expected
        np.testing.assert_allclose([s.score for s in ranking.scores], effects[position, expected], atol=1e-5)


def test_effects_over_the_prompt_stand_under_the_predicted_token(prompt, effects):
    found = prompt.loss_effects(range(effects.shape[1]))
    assert np.isfinite(found).sum() > 20
    np.testing.assert_allclose(found, effects.T, rtol=0, atol=1e-5)  # NaN in the same places


def test_every_score_says_what_its_activation_does_to_the_next_token(prompt, effects, ids):
    for score in rank(prompt, 3, "act_size", top=3).scores:
        assert score.loss_effect == pytest.approx(float(effects[4, score.feature]), abs=1e-5)
    last = rank(prompt, len(ids) - 1, "act_size", top=1).scores[0]
    assert last.loss_effect is None


def test_predictions_without_a_feature_are_those_of_the_residual_stream_less_what_it_wrote(prompt, twin, ids, dense):
    feature, position = int(dense[4].argmax()), 4
    activation, found = prompt.predictions(position, feature)
    x = twin.run(torch.tensor(ids))[1][position]
    expected = reference.predictions(x, dense[position, feature], twin.directions[feature], twin.unembedding)
    assert activation == pytest.approx(float(dense[position, feature]), rel=1e-4)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    silent = int((dense[4] == 0).nonzero()[0])
    assert (
        prompt.predictions(position, silent)[0] == 0
        and np.ptp(prompt.predictions(position, silent)[1], axis=0).max() == 0
    )


def test_losses_are_those_of_the_model(prompt, twin, ids):
    np.testing.assert_allclose(prompt.losses[1:], twin.losses(torch.tensor(ids)), atol=1e-5)
    assert np.isnan(prompt.losses[0])


def test_bos_and_the_first_token_are_not_ranked_and_say_why(subject, prompt):
    for metric in ("act_size", "loss_effect"):
        assert "not ranked" in rank(prompt, 0, metric).why_empty
    assert "BOS" in rank(prompt, 1, "loss_effect").why_empty
    bare = analyse(subject, subject.vocabulary.ids("win", bos=False))
    assert rank(bare, 0, "act_size").scores
    assert "predicted from nothing" in rank(bare, 0, "loss_effect").why_empty


def test_wrong_questions_are_refused(subject, prompt):
    with pytest.raises(ValueError, match="none of act_size"):
        rank(prompt, 1, "size")
    with pytest.raises(ValueError, match="needs the quantiles"):
        rank(prompt, 1, "act_quantile")
    for ids in ([], [5] * 33):
        with pytest.raises(ValueError, match=f"{len(ids)} tokens; this model reads 1 to 32"):
            analyse(subject, ids)
