"""Who fired instead, and how near was it: as the definitions say, ties, signs, special tokens and every activation."""

import numpy as np
import pytest
import torch

from features.engine import reference_questions
from features.engine.ask.near_misses import bar
from features.engine.ask.suspects import suspects
from features.engine.ask.thresholds import Threshold
from features.engine.sae.sae import SAEConfig, SparseAutoencoder
from tests.engine.ask import dense as made


@pytest.fixture(scope="module")
def text():
    vocabulary = made.vocabulary()
    return made.text_of(vocabulary, made.corpus_rows(vocabulary))


@pytest.mark.parametrize("written", ["any", "1.0", "q0.9"])
def test_suspects_are_those_of_the_dense_activations(text, tmp_path, written):
    dense, counted, threshold = made.activations(text), int(text.counted.sum()), Threshold.read(written)
    held = (dense[:, 6] > 0) & text.counted
    dense[held, 7] *= np.random.default_rng(2).random(held.sum()) < 0.5  # misses half of the pattern
    dense[held & (dense[:, 7] == 0), 8] = 2  # and 8 fires there instead, with 9 alike
    dense[:, 9] = dense[:, 8]
    kept = made.keep(dense, tmp_path)
    least = threshold.of(kept, counted).least
    a = torch.from_numpy((np.abs(dense) >= least) & (dense != 0))[text.counted]
    for i in range(made.D_SAE):
        missed = np.flatnonzero(held & ~((np.abs(dense[:, i]) >= least[i]) & (dense[:, i] != 0)))
        found = suspects(kept, missed, a.sum(0).numpy(), counted, least, most=made.D_SAE)
        expected = reference_questions.fired_instead(a, torch.from_numpy(held[text.counted]), i)
        assert found.features.tolist() == list(expected), i
        assert found.hits.tolist() == [hits for hits, *_ in expected.values()]
        np.testing.assert_allclose(found.share, [share for _, share, _ in expected.values()], rtol=1e-12)
        np.testing.assert_allclose(found.lift, [lift for *_, lift in expected.values()], rtol=1e-12)
    assert written == "q0.9" or {8, 9} <= set(
        reference_questions.fired_instead(a, torch.from_numpy(held[text.counted]), 7)
    )


@pytest.mark.parametrize(
    "activation, k",
    [("relu", None), ("jumprelu", None), *((kind, k) for kind in ("topk", "signed_topk", "abstopk") for k in (3, 9)),
     ("groupmax", 4)],
)  # fmt: skip
def test_the_bar_is_what_a_pre_activation_has_to_exceed(activation, k):
    rng = torch.Generator().manual_seed(1)
    threshold = torch.linspace(-0.5, 2, 12) if activation == "jumprelu" else None
    sae = SparseAutoencoder(
        SAEConfig(d_in=6, d_sae=12, activation=activation, k=k),
        *(torch.randn(*shape, generator=rng) for shape in ((6, 12), (12, 6), (12,), (6,))),
        threshold,
    )
    h = torch.randn(40, 6, generator=rng)
    f, p = sae.encode(h), sae.pre_activations(h, list(range(12)))
    for i in range(12):
        bars = bar(sae, h, i)
        expected = [reference_questions.bar(activation, row, i, k, threshold) for row in p]
        torch.testing.assert_close(bars, torch.tensor(expected), rtol=0, atol=0)
        size = p[:, i].abs() if activation == "abstopk" else p[:, i]
        assert (f[:, i] == 0)[size < bars].all() and (f[:, i] != 0)[size > bars].all()
        # No higher than it has to be: what is not active is raised above it, and it is.
        for token in (f[:, i] == 0).nonzero()[:, 0].tolist():
            raised = p[token].clone()
            raised[i] = bars[token] + 1e-4
            assert sae.activate(raised)[i] != 0
