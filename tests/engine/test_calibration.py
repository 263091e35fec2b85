"""What text tells of an SAE is told by the tokens that count."""

from dataclasses import replace

import pytest
import torch

from features.engine.calibration import calibrate
from features.engine.sae.sae import SparseAutoencoder
from features.engine.self_check import counted_activations

K = 3


@pytest.fixture
def batch(subject):
    """A BatchTopK SAE that has learnt no threshold yet."""
    said = {"batch_topk": {"k": K, "threshold": None, "settled": False}}
    config = replace(subject.sae.config, activation="topk", k=K, provenance=said)
    return replace(subject, sae=SparseAutoencoder(config, *subject.sae._weights()))


def read(subject):
    def with_answers(answers):
        threshold = torch.full((subject.d_sae,), float(answers["threshold"]))
        config = replace(subject.sae.config, activation="jumprelu", k=None)
        return SparseAutoencoder(config, *subject.sae._weights()[:4], threshold)

    return with_answers


@pytest.mark.parametrize("first", [0, 1, 20])
def test_a_threshold_lets_k_fire_on_the_tokens_that_count(subject, batch, rows, first):
    chosen = calibrate(batch, rows, {}, read(batch), first).subject.sae
    h = subject.activations(torch.from_numpy(rows.astype("int64")))[:, first:]
    h = h[torch.from_numpy(rows[:, first:] > 2)]
    assert float((chosen.encode(h) != 0).sum(1).double().mean()) == pytest.approx(K, abs=0.01)


def test_of_a_usual_corpus_all_tokens_but_special_ones_are_read(subject, rows):
    torch.testing.assert_close(counted_activations(subject, rows, 1), counted_activations(subject, rows))
