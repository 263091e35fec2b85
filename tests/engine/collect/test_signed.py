"""Activations that have a sign: active is what is not 0, large is what is large in size, and the sign is kept."""

import json

import numpy as np
import pytest
import torch

from features.engine import reference
from features.engine.activity.quantiles import quantile
from features.engine.collect.collect import collect
from features.engine.prompt import analyse, rank
from features.engine.self_check import check_sae
from features.engine.subject import Subject

from .. import small

TOKENS, K = 500, 6


@pytest.fixture(scope="module", params=["abstopk", "one way"])
def found(request, tmp_path_factory):
    """Subject, rows and figures of an SAE whose features fire both ways; or two of them downwards alone."""
    folder = tmp_path_factory.mktemp("signed")
    vocab = small.write_model(folder / "model")["d_vocab"]
    small.write_sae(folder / "sae", dead=())
    config = json.loads((folder / "sae/cfg.json").read_text())
    (folder / "sae/cfg.json").write_text(json.dumps(config | {"architecture": "abstopk", "k": K}))
    subject = Subject.load(folder / "model", folder / "sae", small.HOOK, device="cpu")
    subject.sae.b_enc[:] = 0
    if request.param == "one way":
        subject.sae.b_enc[:2] = -50
    rows = small.corpus_rows(vocab)
    return subject, rows, list(collect(subject, rows, tokens=TOKENS, seed=0).features())


def dense(subject, rows, tokens):
    """Activations of the counted tokens, and where they stand."""
    parts, at = [], []
    for n, row in enumerate(rows.astype(np.int64)):
        f = subject.sae.encode(subject.activations(row)[0]).double()
        counted = [p for p in range(len(row)) if row[p] > 2]
        parts.append(f[counted])
        at += [(n, p) for p in counted]
        if sum(map(len, parts)) >= tokens:
            return torch.cat(parts), np.array(at)
    raise AssertionError("too few rows")


def test_both_signs_count_and_figures_are_of_sizes(found):
    subject, rows, features = found
    f, _ = dense(subject, rows, TOKENS)
    assert (f < 0).any() and ((f != 0).sum(1) == K).all()
    density, maximum, mean = (of(f).tolist() for of in (reference.density, reference.maximum, reference.mean_active))
    for feature in features:
        assert (feature.density, feature.tokens) == (density[feature.index], len(f))
        assert feature.activity.maximum == pytest.approx(maximum[feature.index], rel=1e-5)
        assert feature.activity.mean == pytest.approx(mean[feature.index], rel=1e-5)
        if feature.activity.count:
            assert feature.activity.histogram.counts.sum() == feature.activity.count
            assert sum(interval.count for interval in feature.examples.intervals) == feature.activity.count
            assert np.diff(feature.activity.histogram.edges).min() > 0


def test_examples_are_the_largest_in_size_and_keep_their_sign(found):
    subject, rows, features = found
    f, at = dense(subject, rows, TOKENS)
    where = {tuple(place): n for n, place in enumerate(at.tolist())}
    negative = 0
    for feature in (feature for feature in features if feature.activity.count):
        top = feature.examples.top
        said = f[[where[r, p] for r, p in zip(top.rows, top.positions, strict=True)], feature.index]
        np.testing.assert_allclose(top.activations, said, rtol=1e-4)
        assert abs(top.activations[0]) == pytest.approx(feature.activity.maximum)
        assert (np.diff(np.abs(top.activations)) <= 0).all()
        for interval in feature.examples.intervals:
            sizes = np.abs(interval.examples.activations)
            assert ((sizes > interval.low) & (sizes <= interval.high * (1 + 1e-6))).all()
        negative += (top.activations < 0).sum()
    assert negative > 20


def test_quantiles_are_shares_of_tokens_with_a_smaller_size(found):
    subject, rows, features = found
    f, _ = dense(subject, rows, TOKENS)
    for feature in (feature for feature in features if feature.activity.count):
        values = f[:, feature.index][f[:, feature.index] != 0][:5]
        naive = reference.act_quantile(f[:, feature.index], values).numpy()
        off = np.abs(quantile(feature.activity.quantiles, feature.activity.count, len(f), values) - naive)
        assert (off <= 0.01 * (1 - naive) + 1 / len(f)).all()


def test_a_prompt_ranks_by_size_whatever_the_sign(found):
    subject, rows, _ = found
    prompt = analyse(subject, rows[0].astype(int).tolist())
    scores = rank(prompt, 9, "act_size").scores
    assert len(scores) == K and min(score.activation for score in scores) < 0
    f = torch.from_numpy(prompt.matrix(range(subject.d_sae)).T)
    assert [score.feature for score in scores] == reference.rank("act_size", 9, f)


def test_the_self_check_counts_both_signs(found):
    subject, rows, _ = found
    assert check_sae(subject, rows).l0 == K
