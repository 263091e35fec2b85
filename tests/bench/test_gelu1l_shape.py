"""Are the weights that speed is measured on what they say they are?"""

import numpy as np
import pytest

from features.engine.subject import Subject
from tests.bench.gelu1l_shape import HOOK, compare, fired, write
from tests.bench.made_model import BOS, Shape, law, rows_of
from tests.bench.made_sae import PUBLISHED_COUNTS, PUBLISHED_TOKENS, target_densities

SMALL = Shape(d_mlp=96, d_model=64, n_heads=4, d_head=16, n_ctx=128, d_vocab=1500)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    densities = write(folder, 1024, 96, tokens=10_000, shape=SMALL, sample_tokens=60_000)
    return folder, densities, Subject.load(folder / "model", folder / "sae", HOOK, device="cpu")


def test_features_fire_as_often_as_they_were_made_for(made):
    _, densities, subject = made
    counts, tokens = fired(subject, rows_of(40_000, SMALL.d_vocab, seed=9))
    for wanted, achieved in compare(counts, tokens, densities):
        assert achieved == pytest.approx(wanted, rel=0.3), (wanted, achieved)
    assert counts.sum() / tokens == pytest.approx(densities.sum(), rel=0.05)


def test_densities_are_the_published_ones_stretched_over_all_features():
    densities = target_densities(16384)
    published = np.array(PUBLISHED_COUNTS) / PUBLISHED_TOKENS
    at = ((np.arange(128) + 0.5) * 128 - 0.5).astype(int)
    np.testing.assert_allclose(densities[at], published, rtol=0.02)
    assert 145 < densities.sum() < 155
    assert densities[0] < 1.5e-5 and densities[-1] > 0.29
    assert target_densities(131072, l0=80).sum() == pytest.approx(80)


def test_the_same_seed_makes_the_same_files(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        write(folder, 256, 96, tokens=1_000, shape=SMALL, sample_tokens=6_000)
    for name in ("model/model.safetensors", "sae/sae_weights.safetensors", "rows.npy", "model/tokenizer.json"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def test_rows_begin_with_bos_and_follow_the_law_of_the_tokens():
    rows = rows_of(400_000, SMALL.d_vocab)
    assert rows.shape == (3150, 128) and rows.dtype == np.uint16
    assert (rows[:, 0] == BOS).all() and rows[:, 1:].min() > 2
    often = np.argsort(-law(SMALL.d_vocab))[:5]
    shares = np.bincount(rows[:, 1:].flatten(), minlength=SMALL.d_vocab)[often] / rows[:, 1:].size
    assert (shares > 0.6 * law(SMALL.d_vocab)[often]).all()


def test_every_token_has_a_text_of_its_own(made):
    *_, subject = made
    assert subject.vocabulary.size == SMALL.d_vocab
    assert subject.vocabulary.bos_id == BOS
    assert len(set(map(subject.vocabulary.label, range(3, SMALL.d_vocab)))) == SMALL.d_vocab - 3
