"""A GPU gives the CPU's answer."""

import numpy as np
import pytest
import torch

from features.engine.collect import collect
from features.engine.ranking import analyse, rank
from features.engine.subject import Subject

from . import small

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.fixture(scope="module")
def on_gpu(small_folder):
    return Subject.load(small_folder / "model", small_folder / "sae", small.HOOK, device="cuda")


@pytest.mark.parametrize("screen", ["on", "off"])
def test_statistics_on_a_gpu_are_those_of_the_cpu(subject, on_gpu, rows, screen):
    here, there = collect(subject, rows, tokens=700, screen="off"), collect(on_gpu, rows, tokens=700, screen=screen)
    assert there.summary.explained_variance == pytest.approx(here.summary.explained_variance, rel=1e-4)
    for one, other in zip(here.features(), there.features(), strict=True):
        assert one.count == other.count
        np.testing.assert_array_equal(one.top.rows, other.top.rows)
        np.testing.assert_allclose(one.quantiles, other.quantiles, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(one.correlated_features.pearson, other.correlated_features.pearson, atol=1e-4)
        np.testing.assert_allclose(one.shown.loss_effects, other.shown.loss_effects, atol=1e-4)


def test_a_prompt_on_a_gpu_is_ranked_as_on_the_cpu(subject, on_gpu):
    ids = subject.vocabulary.ids("the win is in the wind")
    for metric in ("act_size", "loss_effect"):
        here, there = (rank(analyse(one, ids), 6, metric) for one in (subject, on_gpu))
        assert [s.feature for s in here.scores] == [s.feature for s in there.scores]
        assert [s.score for s in here.scores] == pytest.approx([s.score for s in there.scores], abs=1e-4)
