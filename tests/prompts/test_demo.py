"""The whole way once, nothing made up: the demo's model and SAE answer about a prompt as a slow twin says."""

import numpy as np
import pytest

from features import runtime

TEXT = "The date today is September 4th, 2012."
PREDICTED = 13  # the 1 of 2012, BOS in front


@pytest.fixture
def answer(client, bare_sae):
    found = client.get(
        "/saes/demo/prompt/", {"text": TEXT, "position": PREDICTED, "rank": "loss_effect", "format": "json"}
    )
    return found.json()


def test_loss_effects_are_those_of_ablating_each_feature_in_turn(answer, bare_sae):
    import torch

    subject = runtime.subject_of(bare_sae)
    hook, residual = (part[0] for part in subject.activations_and_residual(answer["token_ids"]))
    before = PREDICTED - 1
    activations = subject.sae.encode(hook[before])
    target = torch.tensor(answer["token_ids"][PREDICTED : PREDICTED + 1])
    loss = subject.model.head.losses(residual[before, None], target)

    def effect(feature):
        without = residual[before] - activations[feature] * subject.output_directions([feature])[0]
        return (loss - subject.model.head.losses(without[None], target)).item()

    effects = {feature: effect(feature) for feature in activations.nonzero()[:, 0].tolist()}
    expected = sorted(effects, key=effects.get)[:10]
    found = [score["feature"] for score in answer["ranking"]]
    assert found == expected
    scores = [score["score"] for score in answer["ranking"]]
    np.testing.assert_allclose(scores, [effects[feature] for feature in expected], atol=2e-5)
    assert answer["losses"][PREDICTED] == pytest.approx(loss.item(), rel=1e-4)


def test_the_answer_comes_from_all_features(answer, bare_sae):
    assert answer["active"] == len(set(_active(bare_sae, answer, PREDICTED - 1)))
    assert answer["active"] > len(answer["ranking"]) == 10


def _active(sae, answer, position):
    with runtime.analysed(sae, answer["token_ids"]) as prompt:
        return prompt.active(position)[0].tolist()
