"""The whole way once, nothing made up: the demo's model and SAE answer about a prompt as the reference says."""

import numpy as np
import pytest
import torch

from features import runtime
from features.engine import reference
from features.storage.readers import subject_of
from tests.engine.twin import unembedding_of

TEXT = "The date today is September 4th, 2012."
PREDICTED = 13  # the 1 of 2012, BOS in front


@pytest.fixture
def answer(client, bare_sae):
    found = client.get(
        "/saes/demo/prompt/", {"text": TEXT, "position": PREDICTED, "rank": "loss_effect", "format": "json"}
    )
    return found.json()


def test_loss_effects_are_those_of_ablating_each_feature_in_turn(answer, bare_sae):
    subject, ids = subject_of(bare_sae), torch.tensor(answer["token_ids"])
    h, x = (part[0].double() for part in subject.activations_and_residual(answer["token_ids"]))
    W_enc, b_enc, threshold = (w.double() for w in (subject.sae.W_enc, subject.sae.b_enc, subject.sae.threshold))
    f = reference.encode(h, W_enc, b_enc, act=lambda p: reference.jumprelu(p, threshold))
    e = subject.output_directions(range(subject.d_sae)).double()
    unembedding = unembedding_of(subject.model.unembedding)
    effects = reference.prompt_loss_effects(x, ids, f, e, unembedding)
    expected = reference.rank("loss_effect", PREDICTED, f, effects=effects)[:10]
    found = [score["feature"] for score in answer["ranking"]]
    assert found == expected
    scores = [score["score"] for score in answer["ranking"]]
    np.testing.assert_allclose(scores, effects[PREDICTED, expected], atol=2e-5)
    loss = reference.losses(x[PREDICTED - 1], ids[PREDICTED], unembedding)
    assert answer["losses"][PREDICTED] == pytest.approx(loss.item(), rel=1e-4)


def test_the_answer_comes_from_all_features(answer, bare_sae):
    assert answer["active"] == len(set(_active(bare_sae, answer, PREDICTED - 1)))
    assert answer["active"] > len(answer["ranking"]) == 10


def _active(sae, answer, position):
    with runtime.analysed(sae, answer["token_ids"]) as prompt:
        return prompt.active(position)[0].tolist()
