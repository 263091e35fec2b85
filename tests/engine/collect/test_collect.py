"""One pass over the corpus gives what a dense, float64, one-at-a-time twin gives."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

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
    for feature in features:
        active = dense.f[:, feature.index][dense.f[:, feature.index] > 0]
        assert feature.count == len(active)
        assert feature.density == len(active) / len(dense.f)
        assert feature.maximum == pytest.approx(active.max(initial=0), rel=1e-5)
        assert feature.mean == pytest.approx(active.mean() if len(active) else 0, rel=1e-5)


def test_activation_histograms_count_the_active_values(features, dense):
    for feature in features:
        active = dense.f[:, feature.index][dense.f[:, feature.index] > 0]
        if not len(active):
            assert feature.activation_histogram is None
            continue
        counts, edges = np.histogram(active, bins=50, range=(0, active.max()))
        np.testing.assert_allclose(feature.activation_histogram.edges, edges, rtol=1e-5)
        # A value on an edge may fall to either side of it by rounding.
        assert np.abs(feature.activation_histogram.counts - counts).sum() <= 2
        assert feature.activation_histogram.counts.sum() == feature.count


def test_quantiles_are_shares_of_all_tokens_below(features, dense):
    for feature in features:
        column = dense.f[:, feature.index]
        for value in np.unique(column[column > 0])[:-1:7]:
            between = np.float32(value * 1.0001)
            found = quantile(feature.quantiles, feature.count, feature.tokens, [between])[0]
            tail = (column >= between).mean()
            assert abs((1 - found) - tail) <= max(0.02 * tail, 0.5 / len(column))


def test_logit_effects_and_their_histogram(features, twin):
    for feature in features[::5]:
        effects = twin.logit_effects(feature.index).numpy()
        order = np.argsort(-effects)
        np.testing.assert_array_equal(feature.positive_logits.tokens, order[:10])
        np.testing.assert_array_equal(feature.negative_logits.tokens, order[::-1][:10])
        np.testing.assert_allclose(feature.positive_logits.values, effects[order[:10]], atol=1e-5)
        counts, edges = np.histogram(effects, bins=50)
        np.testing.assert_allclose(feature.logit_histogram.edges, edges, atol=1e-5)
        assert np.abs(feature.logit_histogram.counts - counts).sum() <= 2


def test_neuron_alignment_is_by_size_with_sign_and_share(features, twin):
    for feature in features:
        row = twin.sae["W_dec"][feature.index].numpy()
        order = np.argsort(-np.abs(row))[:10]
        np.testing.assert_array_equal(feature.alignment.neurons, order)
        np.testing.assert_allclose(feature.alignment.values, row[order], rtol=1e-6)
        np.testing.assert_allclose(feature.alignment.shares, np.abs(row[order]) / np.abs(row).sum(), rtol=1e-5)


def _pearson(x, y):
    x, y = x - x.mean(), y - y.mean(0)
    with np.errstate(invalid="ignore"):
        return x @ y / np.sqrt((x @ x) * (y * y).sum(0))


@pytest.mark.parametrize("others", ["correlated_neurons", "correlated_features"])
def test_correlates_are_the_highest_and_the_lowest(features, dense, twin, others):
    for feature in features:
        found, x = getattr(feature, others), dense.f[:, feature.index]
        if not feature.count:
            assert len(found.indices) == 0
            continue
        y = dense.h if others == "correlated_neurons" else dense.f
        pearson = _pearson(x, y)
        if others == "correlated_features":
            pearson[feature.index] = np.nan
        known = np.flatnonzero(np.isfinite(pearson))
        order = known[np.argsort(-pearson[known])]
        expected = [*order[:7], *(n for n in order[7:][-3:] if pearson[n] < 0)]
        np.testing.assert_allclose(found.pearson, pearson[expected], atol=2e-6)
        np.testing.assert_allclose(found.pearson, pearson[found.indices], atol=2e-6)
        cosine = x @ y[:, found.indices] / np.linalg.norm(x) / np.linalg.norm(y[:, found.indices], axis=0)
        np.testing.assert_allclose(found.cosine, cosine, atol=2e-6)


def test_decoder_neighbours_are_the_nearest_rows_but_itself(features, twin):
    rows = twin.sae["W_dec"].numpy()
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    for feature in features[::3]:
        cosine = rows @ rows[feature.index]
        cosine[feature.index] = -2
        np.testing.assert_array_equal(feature.neighbours.indices, np.argsort(-cosine)[:10])
        np.testing.assert_allclose(feature.neighbours.cosine, np.sort(cosine)[::-1][:10], atol=1e-6)


def test_top_examples_keep_apart_and_show_equal_text_once(features, dense, used):
    for feature in features:
        chosen, texts = [], {}
        order = np.argsort(-dense.f[:, feature.index], kind="stable")
        near = []
        for at in order[: feature.count]:
            row, position = int(dense.rows[at]), int(dense.positions[at])
            if any(row == r and abs(position - p) < 11 for r, p in near):
                continue
            near.append((row, position))
            text = tuple(used[row, max(0, position - 5) : position + 6])
            if text in texts:
                texts[text] += 1
                continue
            texts[text] = 1
            chosen.append((row, position))
            if len(chosen) == 20:
                break
        assert list(zip(feature.top.rows, feature.top.positions, strict=True)) == chosen
        assert list(feature.top.copies) == list(texts.values())


def test_intervals_share_out_the_active_tokens_by_equal_widths(features, dense):
    for feature in features:
        values = dense.f[:, feature.index]
        assert len(feature.intervals) == (10 if feature.count else 0)
        for n, interval in enumerate(feature.intervals):
            top, bottom = (feature.maximum * k / 10 for k in (10 - n, 9 - n))
            assert (interval.high, interval.low) == pytest.approx((top, bottom))
            inside = ((values > max(bottom, 0)) & (values <= top * (1 + 1e-6))).sum()
            assert abs(interval.count - inside) <= 1  # a value on the edge, rounded
            assert len(interval.examples.rows) == min(5, interval.count)
            assert all(interval.low < a <= interval.high for a in interval.examples.activations)
        assert sum(interval.count for interval in feature.intervals) == feature.count


def test_shown_rows_hold_every_active_token_of_the_examples_rows(features, dense):
    for feature in features:
        shown = feature.shown
        groups = [feature.top, feature.random, *(i.examples for i in feature.intervals)]
        assert set(shown.rows) == set(itertools.chain.from_iterable(group.rows for group in groups))
        for n, row in enumerate(shown.rows):
            part = slice(shown.starts[n], shown.starts[n + 1])
            active = (dense.rows == row) & (dense.f[:, feature.index] > 0)
            np.testing.assert_array_equal(shown.positions[part], dense.positions[active])
            np.testing.assert_allclose(shown.activations[part], dense.f[active, feature.index], rtol=1e-4, atol=1e-5)


def test_loss_effects_are_those_of_a_forward_pass_without_the_feature(features, twin, used):
    checked, worst = 0, 0.0
    for feature in features[::2]:
        shown = feature.shown
        for n, row in enumerate(shown.rows[:4]):
            ids = torch.from_numpy(used[row].astype(np.int64))
            for e in range(shown.starts[n], shown.starts[n + 1]):
                position = int(shown.positions[e])
                if position + 1 == len(ids) or np.isnan(shown.loss_effects[e]):
                    continue
                worst = max(worst, abs(shown.loss_effects[e] - twin.loss_effect(ids, position, feature.index)))
                assert shown.losses[e] == pytest.approx(float(twin.losses(ids)[position]), abs=1e-5)
                logit = twin.logit_effects(feature.index)[ids[position + 1]] * shown.activations[e]
                assert shown.logit_effects[e] == pytest.approx(float(logit), abs=1e-4)
                checked += 1
    assert checked > 50
    assert worst < 1e-5


def test_effects_are_missing_only_at_a_rows_end_and_far_from_every_example(features, used):
    for feature in features:
        shown = feature.shown
        groups = [feature.top, feature.random, *(i.examples for i in feature.intervals)]
        chosen = {(int(r), int(p)) for group in groups for r, p in zip(group.rows, group.positions, strict=True)}
        for n, row in enumerate(shown.rows):
            for e in range(shown.starts[n], shown.starts[n + 1]):
                position = int(shown.positions[e])
                near = any(r == row and abs(p - position) <= 10 for r, p in chosen)
                assert np.isfinite(shown.loss_effects[e]) == (near and position + 1 < used.shape[1])


def test_summary_says_l0_variance_explained_losses_dead_and_dense(collected, dense, twin, used):
    summary, h = collected.summary, torch.from_numpy(dense.h)
    f = torch.from_numpy(dense.f)
    assert summary.l0 == pytest.approx((dense.f > 0).sum() / len(dense.f))
    error = (h - twin.decode(f)).pow(2).sum() / (h - h.mean(0)).pow(2).sum()
    assert summary.explained_variance == pytest.approx(1 - float(error), rel=1e-6)
    assert summary.dead == (~(dense.f > 0).any(0)).sum()
    assert summary.dense == ((dense.f > 0).mean(0) > 0.1).sum()
    expected = [[], [], []]
    for row in used:
        ids = torch.from_numpy(row.astype(np.int64))
        for n, change in enumerate((None, lambda post: twin.decode(twin.encode(post)), torch.zeros_like)):
            expected[n] += [float(x) for x, to in zip(twin.losses(ids, change), row[1:], strict=True) if to > 2]
    found = summary.loss_clean, summary.loss_reconstructed, summary.loss_zero_ablated
    assert found == pytest.approx([np.mean(part) for part in expected], abs=1e-5)
    assert summary.loss_tokens == len(expected[0])


@pytest.mark.parametrize("cut", [(32, 32), (96, 200), (1000, 64)])
def test_how_the_corpus_is_cut_does_not_matter(subject, rows, features, cut):
    cut_up = collect(subject, rows, tokens=TOKENS, seed=5, piece_tokens=cut[0], shard_tokens=cut[1])
    for one, other in zip(features, cut_up.features(), strict=True):
        assert (one.count, one.tokens) == (other.count, other.tokens)
        for mine, its in [(one.top, other.top), (one.random, other.random), *_interval_examples(one, other)]:
            np.testing.assert_array_equal(mine.rows, its.rows)
            np.testing.assert_array_equal(mine.positions, its.positions)
        np.testing.assert_allclose(one.quantiles, other.quantiles, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(one.correlated_neurons.pearson, other.correlated_neurons.pearson, atol=5e-6)
        np.testing.assert_allclose(one.correlated_features.pearson, other.correlated_features.pearson, atol=5e-6)
        np.testing.assert_allclose(one.shown.loss_effects, other.shown.loss_effects, atol=1e-5)


def _interval_examples(one, other):
    return [(a.examples, b.examples) for a, b in zip(one.intervals, other.intervals, strict=True)]


def test_chosen_features_come_out_as_in_a_pass_for_all(subject, rows, features):
    for one in collect(subject, rows, tokens=TOKENS, seed=5, features=[17, 4]).features():
        all_over = features[one.index]
        assert one.count == all_over.count
        np.testing.assert_array_equal(one.random.rows, all_over.random.rows)
        np.testing.assert_array_equal(one.shown.activations, all_over.shown.activations)
        np.testing.assert_allclose(one.shown.loss_effects, all_over.shown.loss_effects, atol=5e-6)


def test_a_dead_feature_has_no_examples_and_no_nan(features):
    dead = features[3]
    assert (dead.count, dead.density, dead.maximum, dead.mean) == (0, 0, 0, 0)
    assert dead.activation_histogram is None
    assert not dead.intervals
    for part in (dead.top.rows, dead.random.rows, dead.quantiles, dead.shown.positions):
        assert len(part) == 0
    for table in (dead.alignment.values, dead.neighbours.cosine, dead.positive_logits.values):
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
