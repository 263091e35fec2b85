"""One pass over the corpus gives what the reference gives of all activations, dense and in float64."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from features.engine import reference, reference_examples
from features.engine.activity.quantiles import quantile
from features.engine.collect.collect import collect
from features.engine.corpus.token_rows import NotEnoughTokens, counted_tokens, rows_needed
from features.engine.results import Cancelled

from ..twin import DenseCorpus, Twin

TOKENS = 700


@pytest.fixture(scope="module")
def twin(small_folder):
    return Twin.read(small_folder)


@pytest.fixture(scope="module")
def used(rows):
    """The rows that hold TOKENS counted tokens."""
    return rows[: rows_needed(counted_tokens(rows, {0, 1, 2}), TOKENS)]


@pytest.fixture(scope="module")
def dense(twin, used):
    return DenseCorpus.of(twin, used)


@pytest.fixture(scope="module")
def collected(subject, rows):
    return collect(subject, rows, tokens=TOKENS, seed=5)


@pytest.fixture(scope="module")
def features(collected):
    return list(collected.features())


def test_every_feature_comes_once_and_in_order(features, subject):
    assert [feature.index for feature in features] == list(range(subject.d_sae))


def test_only_whole_rows_and_no_special_tokens_are_counted(features, dense, used):
    assert TOKENS <= len(dense.f) < TOKENS + used.shape[1]
    assert {feature.tokens for feature in features} == {len(dense.f)}


def test_counts_moments_and_maxima_are_the_dense_ones(features, dense):
    density, maximum, mean = (of(dense.f) for of in (reference.density, reference.maximum, reference.mean_active))
    for feature in features:
        assert feature.activity.count == (dense.f[:, feature.index] > 0).sum()
        assert feature.density == density[feature.index]
        assert feature.activity.maximum == pytest.approx(float(maximum[feature.index]), rel=1e-5)
        assert feature.activity.mean == pytest.approx(float(mean[feature.index]), rel=1e-5)


def test_activation_histograms_count_the_active_values(features, dense):
    for feature in features:
        if not feature.activity.count:
            assert feature.activity.histogram is None
            continue
        counts, edges = (part.numpy() for part in reference.activation_histogram(dense.f[:, feature.index]))
        np.testing.assert_allclose(feature.activity.histogram.edges, edges, rtol=1e-5)
        # A value on an edge may fall to either side of it by rounding.
        assert np.abs(feature.activity.histogram.counts - counts).sum() <= 2
        assert feature.activity.histogram.counts.sum() == feature.activity.count


def test_quantiles_are_shares_of_all_tokens_below(features, dense):
    for feature in features:
        column = dense.f[:, feature.index]
        for value in column[column > 0].unique()[:-1:7]:
            between = np.float32(value * 1.0001)
            found = quantile(feature.activity.quantiles, feature.activity.count, feature.tokens, [between])[0]
            tail = 1 - float(reference.act_quantile(column, torch.tensor(between)))
            assert abs((1 - found) - tail) <= max(0.02 * tail, 0.5 / len(column))


def test_logit_effects_and_their_histogram(features, twin):
    for feature in features[::5]:
        logit_effects = twin.logit_effects(feature.index)
        effects = logit_effects.numpy()
        order = np.argsort(-effects)
        np.testing.assert_array_equal(feature.logits.positive.tokens, order[:10])
        np.testing.assert_array_equal(feature.logits.negative.tokens, order[::-1][:10])
        np.testing.assert_allclose(feature.logits.positive.values, effects[order[:10]], atol=1e-5)
        spread = reference.histogram(logit_effects, logit_effects.min(), logit_effects.max())
        counts, edges = (part.numpy() for part in spread)
        np.testing.assert_allclose(feature.logits.histogram.edges, edges, atol=1e-5)
        assert np.abs(feature.logits.histogram.counts - counts).sum() <= 2


def test_neuron_alignment_is_by_size_with_sign_and_share(features, twin):
    for feature in features:
        neurons, values, shares = reference.neuron_alignment(twin.sae["W_dec"][feature.index])
        np.testing.assert_array_equal(feature.relatives.alignment.neurons, neurons)
        np.testing.assert_allclose(feature.relatives.alignment.values, values, rtol=1e-6)
        np.testing.assert_allclose(feature.relatives.alignment.shares, shares, rtol=1e-5)


@pytest.mark.parametrize("others", ["correlated_neurons", "correlated_features"])
def test_correlates_are_the_highest_and_the_lowest(features, dense, twin, others):
    for feature in features:
        found, x = getattr(feature.relatives, others), dense.f[:, feature.index, None]
        if not feature.activity.count:
            assert len(found.indices) == 0
            continue
        y = dense.h if others == "correlated_neurons" else dense.f
        pearson, cosine = reference.pearson(x, y)[0], reference.cosine(x, y)[0]
        if others == "correlated_features":
            pearson[feature.index] = torch.nan
        expected = reference.correlates(pearson)
        np.testing.assert_allclose(found.pearson, pearson[expected], atol=2e-6)
        np.testing.assert_allclose(found.pearson, pearson[found.indices], atol=2e-6)
        np.testing.assert_allclose(found.cosine, cosine[found.indices], atol=2e-6)


def test_decoder_neighbours_are_the_nearest_rows_but_itself(features, twin):
    rows = twin.sae["W_dec"]
    cosines = reference.decoder_cosine(rows, rows)
    for feature in features[::3]:
        expected = reference.decoder_neighbours(rows, feature.index)
        np.testing.assert_array_equal(feature.relatives.neighbours.indices, expected)
        np.testing.assert_allclose(feature.relatives.neighbours.cosine, cosines[feature.index, expected], atol=1e-6)


def test_top_examples_keep_apart_and_show_equal_text_once(features, dense, used):
    ids = torch.from_numpy(used.astype(np.int64))
    for feature in features:
        top = reference_examples.top_activations(dense.f[:, feature.index], dense.rows, dense.positions, ids)
        chosen = [(int(dense.rows[token]), int(dense.positions[token])) for token, _ in top]
        assert list(zip(feature.examples.top.rows, feature.examples.top.positions, strict=True)) == chosen
        assert list(feature.examples.top.copies) == [copies for _, copies in top]


def test_intervals_share_out_the_active_tokens_by_equal_widths(features, dense):
    for feature in features:
        edges, _ = reference.intervals(torch.tensor([feature.activity.maximum], dtype=torch.float64))
        _, shares = reference.intervals(dense.f[:, feature.index])
        assert len(feature.examples.intervals) == (10 if feature.activity.count else 0)
        for n, interval in enumerate(feature.examples.intervals):
            assert (interval.high, interval.low) == pytest.approx((float(edges[n]), float(edges[n + 1])))
            assert abs(interval.count - float(shares[n]) * len(dense.f)) <= 1 + 1e-6  # a value on the edge, rounded
            assert len(interval.examples.rows) == min(5, interval.count)
            assert all(interval.low < a <= interval.high for a in interval.examples.activations)
        assert sum(interval.count for interval in feature.examples.intervals) == feature.activity.count


def test_shown_rows_hold_every_active_token_of_the_examples_rows(features, dense):
    for feature in features:
        shown = feature.shown
        groups = feature.examples.groups
        assert set(shown.rows) == set(itertools.chain.from_iterable(group.rows for group in groups))
        for n, row in enumerate(shown.rows):
            part = slice(shown.starts[n], shown.starts[n + 1])
            active = (dense.rows == int(row)) & (dense.f[:, feature.index] > 0)
            np.testing.assert_array_equal(shown.positions[part], dense.positions[active])
            np.testing.assert_allclose(shown.activations[part], dense.f[active, feature.index], rtol=1e-4, atol=1e-5)


def test_the_references_loss_effects_are_those_of_a_forward_pass_without_the_feature(twin, used):
    ids = torch.from_numpy(used[1].astype(np.int64))
    effects, f = twin.loss_effects(ids), twin.encode(twin.run(ids)[0])
    for position, feature in f[:-1].nonzero()[::9].tolist():
        written = torch.zeros(len(ids), twin.sae["W_dec"].shape[1], dtype=torch.float64)
        written[position] = f[position, feature] * twin.sae["W_dec"][feature]
        without = twin.losses(ids, lambda post, written=written: post - written)
        expected = float(twin.losses(ids)[position] - without[position])
        assert float(effects[position + 1, feature]) == pytest.approx(expected, abs=1e-10)


def test_effects_are_those_of_the_reference(features, twin, used):
    """Of the activation that is shown; what that is off by in float32 is seen to above."""
    checked, worst = 0, 0.0
    ids = torch.from_numpy(used.astype(np.int64))
    residuals, losses = [twin.run(row)[1] for row in ids], [twin.losses(row) for row in ids]
    for feature in features[::2]:
        shown, e = feature.shown, twin.directions[feature.index]
        for n, row in enumerate(shown.rows[:4]):
            for at in range(shown.starts[n], shown.starts[n + 1]):
                position = int(shown.positions[at])
                if position + 1 == len(ids[row]) or np.isnan(shown.loss_effects[at]):
                    continue
                f, x, target = float(shown.activations[at]), residuals[row][position], ids[row, position + 1]
                of = torch.tensor(f).double(), e
                effect = float(reference.loss_effect(x, target, *of, twin.unembedding))
                worst = max(worst, abs(float(shown.loss_effects[at]) - effect))
                assert shown.losses[at] == pytest.approx(float(losses[row][position]), abs=1e-5)
                logit = float(reference.logit_effect_on_token(*of, target, twin.unembedding))
                assert shown.logit_effects[at] == pytest.approx(logit, abs=1e-4)
                checked += 1
    assert checked > 50
    assert worst < 5e-6


def test_effects_are_missing_only_at_a_rows_end_and_far_from_every_example(features, used):
    for feature in features:
        shown = feature.shown
        groups = feature.examples.groups
        chosen = {(int(r), int(p)) for group in groups for r, p in zip(group.rows, group.positions, strict=True)}
        for n, row in enumerate(shown.rows):
            for e in range(shown.starts[n], shown.starts[n + 1]):
                position = int(shown.positions[e])
                near = any(r == row and -11 <= position - p <= 10 for r, p in chosen)
                assert np.isfinite(shown.loss_effects[e]) == (near and position + 1 < used.shape[1])


def test_summary_says_l0_variance_explained_losses_dead_and_dense(collected, dense, twin, used):
    summary = collected.summary
    assert summary.l0 == pytest.approx(float(reference.l0(dense.f)))
    explained = reference.explained_variance(dense.h, twin.decode(dense.f))
    assert summary.explained_variance == pytest.approx(float(explained), rel=1e-6)
    assert [summary.dead, summary.dense] == [int(which.sum()) for which in reference.dead_and_dense(dense.f)]
    expected = [[], [], []]
    for row in used:
        ids = torch.from_numpy(row.astype(np.int64))
        for n, change in enumerate((None, lambda post: twin.decode(twin.encode(post)), torch.zeros_like)):
            expected[n] += [float(x) for x, to in zip(twin.losses(ids, change), row[1:], strict=True) if to > 2]
    found = summary.loss_clean, summary.loss_reconstructed, summary.loss_zero_ablated
    means = [np.mean(part) for part in expected]
    assert found == pytest.approx(means, abs=1e-5)
    recovered = reference.loss_recovered(clean=means[0], reconstructed=means[1], zero=means[2])
    assert summary.loss_recovered == pytest.approx(recovered, abs=1e-4)
    assert summary.loss_tokens == len(expected[0])
    assert summary.health.largest_l0 == int((dense.f != 0).sum(1).max())
    assert summary.health.sampled_tokens == summary.tokens and summary.health.sampled_alive > 0


@pytest.mark.parametrize("cut", [(32, 32), (96, 200), (1000, 64)])
def test_how_the_corpus_is_cut_does_not_matter(subject, rows, features, cut):
    cut_up = collect(subject, rows, tokens=TOKENS, seed=5, chunk_tokens=cut[0], shard_tokens=cut[1])
    for one, other in zip(features, cut_up.features(), strict=True):
        assert (one.activity.count, one.tokens) == (other.activity.count, other.tokens)
        for mine, its in zip(one.examples.groups, other.examples.groups, strict=True):
            np.testing.assert_array_equal(mine.rows, its.rows)
            np.testing.assert_array_equal(mine.positions, its.positions)
        np.testing.assert_allclose(one.activity.quantiles, other.activity.quantiles, rtol=1e-5, atol=1e-6)
        for others in ("correlated_neurons", "correlated_features"):
            mine, its = (getattr(feature.relatives, others).pearson for feature in (one, other))
            np.testing.assert_allclose(mine, its, atol=5e-6)
        np.testing.assert_allclose(one.shown.loss_effects, other.shown.loss_effects, atol=1e-5)


def test_chosen_features_come_out_as_in_a_pass_for_all(subject, rows, features):
    for one in collect(subject, rows, tokens=TOKENS, seed=5, features=[17, 4]).features():
        all_over = features[one.index]
        assert one.activity.count == all_over.activity.count
        np.testing.assert_array_equal(one.examples.random.rows, all_over.examples.random.rows)
        np.testing.assert_array_equal(one.shown.activations, all_over.shown.activations)
        np.testing.assert_allclose(one.shown.loss_effects, all_over.shown.loss_effects, atol=5e-6)


def test_a_dead_feature_has_no_examples_and_no_nan(features):
    dead = features[3]
    assert (dead.activity.count, dead.density, dead.activity.maximum, dead.activity.mean) == (0, 0, 0, 0)
    assert dead.activity.histogram is None
    assert not dead.examples.intervals
    for part in (dead.examples.top.rows, dead.examples.random.rows, dead.activity.quantiles, dead.shown.positions):
        assert len(part) == 0
    for table in (dead.relatives.alignment.values, dead.relatives.neighbours.cosine, dead.logits.positive.values):
        assert len(table) == 10
        assert np.isfinite(table).all()


def test_asking_for_more_tokens_than_there_are_names_both_numbers(subject, rows):
    has = int(counted_tokens(rows, {0, 1, 2}).sum())
    with pytest.raises(NotEnoughTokens, match=f"5,000 tokens; the corpus has {has:,}"):
        collect(subject, rows, tokens=5000)


def test_progress_reaches_the_end_of_each_phase_and_may_stop_the_pass(subject, rows, features, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("features.engine.collect.collected.REPORT_EVERY", 0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for _ in collect(subject, rows, tokens=TOKENS, progress=seen.append).features():
        pass
    assert [phase for phase, _ in itertools.groupby(seen, lambda p: p.phase)] == [
        "activations", "merging", "examples", "loss effects",
    ]  # fmt: skip
    assert all(0 <= p.done <= p.total for p in seen)
    assert max(p.done for p in seen if p.phase == "activations") == features[0].tokens

    def stop(progress):
        if progress.phase == "examples":
            raise Cancelled

    with pytest.raises(Cancelled):
        list(collect(subject, rows, tokens=TOKENS, progress=stop).features())
    assert not list(Path(tmp_path).iterdir())
