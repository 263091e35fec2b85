"""What claims are held against at a checkpoint is what a computation on the same rows would find."""

import numpy as np
import pytest

from features.engine.collect.collect import collect
from features.engine.training import rows_pass
from features.engine.training.single_features import single_features

from .. import small


def test_examples_logits_and_effects_are_those_of_a_computation(subject, tmp_path):
    rows = small.corpus_rows(subject.vocabulary.size)
    read = rows_pass.read_rows(subject, rows, tmp_path, bos=True)
    first, second, third = features = sorted(np.argsort(-read.entries.counts)[:3].tolist())
    found = list(single_features(read, features, with_effects=(first, third)))
    whole = collect(subject, rows, tokens=read.plan.tokens, features=features)
    for one, other in zip(found, whole.features(), strict=True):
        assert (one.index, one.tokens, one.density) == (other.index, other.tokens, other.density)
        for name in ("rows", "positions", "activations"):
            assert getattr(one.examples.top, name).tolist() == getattr(other.examples.top, name).tolist()
        assert one.logits.positive.tokens.tolist() == other.logits.positive.tokens.tolist()
        assert one.logits.negative.values == pytest.approx(other.logits.negative.values, abs=1e-6)
        known = ~np.isnan(one.shown.loss_effects)
        assert known.any() == (one.index != second)
        assert one.shown.loss_effects[known] == pytest.approx(other.shown.loss_effects[known], abs=1e-6)
    top = {*zip(found[0].examples.top.rows.tolist(), found[0].examples.top.positions.tolist(), strict=True)}
    assert len(top) >= np.isfinite(found[0].shown.loss_effects).sum() > 0
