"""A GPU gives the CPU's answer, and is never waited for between chunks of the corpus."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from features.engine.collect.collect import collect
from features.engine.collect.shard_pass import ShardPass
from features.engine.prompt import analyse, rank
from features.engine.sae.sae import SparseAutoencoder
from features.engine.store.sums import StreamingSums
from features.engine.subject import Subject

from .. import small

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.fixture(scope="module")
def on_gpu(small_folder):
    return Subject.load(small_folder / "model", small_folder / "sae", small.HOOK, device="cuda")


def choosing(subject: Subject) -> Subject:
    """The same with an SAE that keeps the 6 highest features of a token."""
    sae = subject.sae
    weights = sae.W_enc, sae.W_dec, sae.b_enc + 3, sae.b_dec
    return replace(subject, sae=SparseAutoencoder(replace(sae.config, activation="topk", k=6), *weights))


def assert_same(here, there):
    assert there.summary.tokens == here.summary.tokens and there.summary.l0 == here.summary.l0
    assert there.summary.explained_variance == pytest.approx(here.summary.explained_variance, rel=1e-4)
    assert there.summary.loss_reconstructed == pytest.approx(here.summary.loss_reconstructed, rel=1e-4)
    for one, other in zip(here.features(), there.features(), strict=True):
        assert one.activity.count == other.activity.count
        np.testing.assert_array_equal(one.examples.top.rows, other.examples.top.rows)
        np.testing.assert_allclose(one.activity.quantiles, other.activity.quantiles, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            one.relatives.correlated_features.pearson, other.relatives.correlated_features.pearson, atol=1e-4
        )
        np.testing.assert_allclose(one.relatives.correlated_b.pearson, other.relatives.correlated_b.pearson, atol=1e-4)
        np.testing.assert_allclose(one.logits.positive.values, other.logits.positive.values, atol=1e-4)
        np.testing.assert_allclose(one.shown.loss_effects, other.shown.loss_effects, atol=1e-4)


@pytest.mark.parametrize("screen", ["on", "off"])
def test_statistics_on_a_gpu_are_those_of_the_cpu(subject, on_gpu, rows, screen):
    assert_same(*(collect(one, rows, tokens=700, screen=way) for one, way in ((subject, "off"), (on_gpu, screen))))


def test_so_are_those_of_an_sae_that_chooses_among_features(subject, on_gpu, rows):
    assert_same(*(collect(choosing(one), rows, tokens=700) for one in (subject, on_gpu)))


def test_so_are_those_beside_a_second_sae(subject, on_gpu, rows):
    assert_same(*(collect(one, rows, tokens=700, encoder_b=choosing(one).sae) for one in (subject, on_gpu)))


def test_so_are_those_of_a_deeper_model(rows, tmp_path):
    hook = "blocks.1.hook_resid_pre"
    small.write_model(tmp_path / "model", n_layers=2)
    small.write_sae(tmp_path / "sae", hook, small.D_MODEL)
    both = (Subject.load(tmp_path / "model", tmp_path / "sae", hook, device=device) for device in ("cpu", "cuda"))
    assert_same(*(collect(one, rows, tokens=700) for one in both))


def test_a_prompt_on_a_gpu_is_ranked_as_on_the_cpu(subject, on_gpu):
    ids = subject.vocabulary.ids("the win is in the wind")
    for metric in ("act_size", "loss_effect"):
        here, there = (rank(analyse(one, ids), 6, metric) for one in (subject, on_gpu))
        assert [s.feature for s in here.scores] == [s.feature for s in there.scores]
        assert [s.score for s in here.scores] == pytest.approx([s.score for s in there.scores], abs=1e-4)


@pytest.mark.parametrize("sae", [lambda subject: subject, choosing], ids=["screened", "choosing"])
def test_the_host_waits_for_no_batch(on_gpu, rows, tmp_path, sae):
    """A pass that is under way asks the GPU for nothing: PyTorch would raise at any call that waits."""
    subject = sae(on_gpu)
    shard_pass = ShardPass(subject, True, screen="on")
    shard_pass.run(rows, (0, len(rows)), 7, tmp_path / "shard", lambda tokens: None)  # kernels are loaded
    sums = StreamingSums(subject.d_sae, subject.sae.config.d_in, subject.device)
    pipeline = shard_pass._pipeline(sums, 7 * len(rows[0]))
    torch.cuda.set_sync_debug_mode("error")
    try:
        submitted = [pipeline._submit(rows[at : at + 7], at) for at in (0, 7, 14)]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(part.copy.wait()[1][-1] > 0 for (part,) in submitted)
