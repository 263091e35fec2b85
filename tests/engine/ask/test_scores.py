"""All features' scores with a pattern are those of their dense activations: counts exactly, ties and signs included."""

import numpy as np
import pytest
import torch

from features.engine import reference_questions
from features.engine.ask import scores as scores_module
from features.engine.ask.intervals import PrecisionIntervals, draws
from features.engine.ask.one_feature import OneFeature
from features.engine.ask.scores import METRICS, rank, scores
from features.engine.ask.thresholds import Threshold
from features.engine.store.kept_entries import KeptEntriesDamaged
from tests.engine.ask import dense as made


@pytest.fixture(scope="module")
def text():
    vocabulary = made.vocabulary()
    return made.text_of(vocabulary, made.corpus_rows(vocabulary))


@pytest.fixture(scope="module")
def dense(text):
    return made.activations(text)


@pytest.fixture(scope="module")
def kept(dense, tmp_path_factory):
    return made.keep(dense, tmp_path_factory.mktemp("kept"))


@pytest.fixture(scope="module")
def held(text, dense):
    """A pattern that goes with some features."""
    chance = np.random.default_rng(1).random(len(text)) < 0.1
    return (chance | (dense[:, 6] > 1)) & text.counted


THRESHOLDS = ["any", "1.0", "q0.9", "q0.97", "q0"]


def asked(kept, held, text, threshold):
    threshold, counted = Threshold.read(threshold), int(text.counted.sum())
    active = threshold.of(kept, counted)
    return scores(kept, held, counted, active), PrecisionIntervals(kept, held, active.least, text.width)


def active(f_i, threshold):
    threshold = Threshold.read(threshold)
    return reference_questions.active_from(f_i, threshold.value, threshold.quantile)


def twins(dense, held, text):
    """Activations and pattern on the counted tokens, in float64."""
    of_counted = torch.from_numpy(dense[text.counted].astype(np.float64))
    return of_counted, torch.from_numpy(held[text.counted])


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_scores_are_those_of_the_dense_activations(kept, dense, held, text, threshold):
    found, _ = asked(kept, held, text, threshold)
    f, m = twins(dense, held, text)
    assert (found.tokens, found.held) == (len(m), int(m.sum()))
    for i in range(made.D_SAE):
        a = active(f[:, i], threshold)
        assert (found.active[i], found.hits[i]) == (a.sum(), (a & m).sum())
        if not a.any():
            assert np.isnan(found.f1[i]) and np.isnan(found.correlation[i])
            continue
        for name, value in reference_questions.pattern_scores(f[:, i], a, m).items():
            assert getattr(found, name)[i] == pytest.approx(float(value), rel=1e-12, abs=1e-14), name
    assert threshold != "any" or np.nanmax(found.f1) > 0.3


@pytest.mark.parametrize("threshold", THRESHOLDS[:3])
@pytest.mark.parametrize("metric", METRICS)
def test_features_come_in_the_order_of_their_metric(kept, dense, held, text, metric, threshold):
    found, intervals = asked(kept, held, text, threshold)
    ranking = rank(found, metric, intervals)
    f, m = twins(dense, held, text)
    rows = torch.from_numpy((np.arange(len(text)) // text.width)[text.counted])
    drawn = torch.from_numpy(draws(intervals.rows, 0).astype(np.float64))
    keys = torch.zeros(made.D_SAE, dtype=torch.float64)
    for i in np.flatnonzero(found.active):
        a = active(f[:, i], threshold)
        low, high = reference_questions.precision_interval(a, m, rows, drawn)
        assert ranking.intervals[i] == pytest.approx((low, high), rel=1e-12)
        keys[i] = ranking.intervals[i][0] if metric in ("precision", "lift") else float(getattr(found, metric)[i])
    counts = (torch.from_numpy(each) for each in (found.hits, found.active))
    assert ranking.order.tolist() == reference_questions.pattern_order(keys, *counts)
    assert 0 not in ranking.order  # dead
    # The same activations: the lower index first.
    assert ranking.order.tolist().index(4) + 1 == ranking.order.tolist().index(5)


def test_those_beyond_the_bootstrapped_follow_by_wilson(kept, held, text, monkeypatch):
    monkeypatch.setattr(scores_module, "INTERVALS", 3)
    found, intervals = asked(kept, held, text, "any")
    ranking = rank(found, "precision", intervals, shown=2)
    assert len(ranking.intervals) == 3 and set(ranking.intervals) == set(ranking.order[:3].tolist())
    assert sorted(ranking.order.tolist()) == np.flatnonzero(found.active).tolist()


def test_a_pattern_that_holds_nowhere_or_everywhere_ranks_nothing_by_chance(kept, text):
    nowhere, _ = asked(kept, np.zeros(len(text), bool), text, "any")
    assert nowhere.held == 0 and not nowhere.hits.any() and np.nansum(nowhere.f1) == 0
    everywhere, _ = asked(kept, text.counted, text, "any")
    assert everywhere.held == everywhere.tokens and (everywhere.hits == everywhere.active).all()


@pytest.mark.parametrize(("written", "said"), [("q1", "from q0"), ("-1", "'-1' is no"), ("a lot", "'a lot' is no")])
def test_a_threshold_that_cannot_be_is_told_what_can(written, said):
    with pytest.raises(ValueError, match=said):
        Threshold.read(written)
    assert [str(Threshold.read(each)) for each in ("", "1.50", "Q.999")] == ["any", "1.5", "q0.999"]


def test_an_entry_of_no_feature_is_damage_not_a_crash(dense, held, text, tmp_path):
    kept = made.keep(dense, tmp_path)
    path = kept.folder / "token_features"
    path.write_bytes(b"\xff" * path.stat().st_size)
    with pytest.raises(KeptEntriesDamaged, match="features beyond 11"):
        asked(kept, held, text, "any")


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_one_feature_alone_has_the_figures_it_has_among_all(kept, dense, held, text, threshold):
    f, m = twins(dense, held, text)
    for i in range(made.D_SAE):
        one = OneFeature.of(kept, i, held, len(f), Threshold.read(threshold))
        expected = reference_questions.pattern_scores(f[:, i], a := active(f[:, i], threshold), m)
        assert (one.active, one.hits, one.held) == (int(a.sum()), int((a & m).sum()), int(m.sum()))
        if one.active:
            for name in ("precision", "recall", "f1"):
                assert getattr(one, name) == pytest.approx(float(expected[name]), abs=1e-12), (name, i)
        else:
            assert (one.precision, one.f1) == (None, 0)
