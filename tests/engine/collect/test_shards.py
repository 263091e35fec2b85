"""Shards made by anybody, in any order, merge to the same figures, and what is half done is never taken for whole."""

import numpy as np
import pytest

from features.engine import reference
from features.engine.collect.collect import collect
from features.engine.collect.shard_pass import ShardPass
from features.engine.collect.shards import collect_shard, merge, open_collected, plan_shards, shard_folder
from features.engine.results import Cancelled
from features.engine.sae.sae import SAEConfig, SparseAutoencoder
from features.engine.store import rare_pairs
from features.engine.store.sums import CorpusSums

TOKENS = 700


def _plan(subject, rows, shard_tokens, chunk_tokens=64):
    special = subject.vocabulary.special
    return plan_shards(
        rows, tokens=TOKENS, bos=True, special=special, shard_tokens=shard_tokens, chunk_tokens=chunk_tokens
    )


def _collected(subject, rows, cut, folder, order=None, **options):
    for number in range(len(cut.spans)) if order is None else order:
        collect_shard(ShardPass(subject, True, **options), rows, cut, number, folder)
    merge(subject, rows, cut, folder)
    return open_collected(subject, rows, cut, folder, seed=5, **options)


@pytest.mark.parametrize("shard_tokens", [64, 200])
def test_shards_in_any_order_merge_to_what_one_pass_finds(subject, rows, tmp_path, shard_tokens):
    cut = _plan(subject, rows, shard_tokens)
    assert len(cut.spans) > 2
    parted = _collected(subject, rows, cut, tmp_path, order=reversed(range(len(cut.spans))))
    whole = collect(subject, rows, tokens=TOKENS, seed=5, chunk_tokens=64)
    for name in ("tokens", "l0", "dead", "dense"):
        assert getattr(parted.summary, name) == getattr(whole.summary, name)
    assert parted.summary.explained_variance == pytest.approx(whole.summary.explained_variance, rel=1e-9)
    assert parted.summary.loss_tokens == whole.summary.loss_tokens
    for name in ("loss_clean", "loss_reconstructed", "loss_zero_ablated"):
        assert getattr(parted.summary, name) == pytest.approx(getattr(whole.summary, name), rel=1e-6)
    np.testing.assert_allclose(parted.correlations.sums.fh[:], whole.correlations.sums.fh[:], rtol=1e-9)
    np.testing.assert_allclose(parted.correlations.moments.ff, whole.correlations.moments.ff, rtol=1e-9)
    features = np.arange(subject.d_sae)
    pairs = [each.correlations.pairs.rows(features) for each in (parted, whole)]
    np.testing.assert_allclose(*pairs, rtol=1e-9)
    for one, other in zip(parted.features(), whole.features(), strict=True):
        assert one.activity.count == other.activity.count
        np.testing.assert_array_equal(one.activity.quantiles, other.activity.quantiles)
        for mine, its in [(one.examples.top, other.examples.top), (one.examples.random, other.examples.random)]:
            np.testing.assert_array_equal(mine.rows, its.rows)
            np.testing.assert_array_equal(mine.positions, its.positions)
            np.testing.assert_array_equal(mine.activations, its.activations)
        assert [i.count for i in one.examples.intervals] == [i.count for i in other.examples.intervals]


def test_a_long_corpus_is_cut_into_longer_shards_rather_than_more():
    rows = np.ones((100_000, 128), np.uint16)
    cut = plan_shards(rows, tokens=12_700_000, bos=True, special={0})
    assert 60 <= len(cut.spans) <= 70
    assert len(plan_shards(rows, tokens=1_000_000, bos=True, special={0}).spans) == 15


@pytest.mark.parametrize("held", [1 << 20, 1])  # all rare entries at once; a chunk at a time
def test_products_of_all_pairs_are_those_of_dense_matrices(subject, rows, tmp_path, monkeypatch, held):
    monkeypatch.setattr(rare_pairs, "SEGMENT_ENTRIES", held)
    cut = _plan(subject, rows, 200)
    collected = _collected(subject, rows, cut, tmp_path)
    hook = subject.activations(rows[: cut.used_rows].astype(np.int64))[:, 1:].flatten(0, 1)
    hook = hook[~np.isin(rows[: cut.used_rows, 1:].ravel(), sorted(subject.vocabulary.special))]
    f, h = subject.sae.encode(hook).double().numpy(), hook.double().numpy()
    np.testing.assert_allclose(collected.correlations.sums.fh[:], f.T @ h, atol=1e-4)
    for features in (np.arange(subject.d_sae), np.array([5]), np.array([0, 3, 38])):
        pairs = collected.correlations.pairs
        products = pairs.rows(features)
        np.testing.assert_allclose(products, (f.T[features] @ f)[:, pairs.right.order], atol=1e-4)
    assert 0 < len(collected.correlations.pairs.left.rare) < subject.d_sae


def test_rare_entries_are_read_once_for_many_features(subject, rows, tmp_path, monkeypatch):
    """However many features ask: on millions of tokens they are gigabytes."""
    monkeypatch.setattr(rare_pairs, "SEGMENT_ENTRIES", 1)
    collected = _collected(subject, rows, _plan(subject, rows, 200), tmp_path)
    read, segment = [], rare_pairs.RareEntriesByToken._segment
    monkeypatch.setattr(
        rare_pairs.RareEntriesByToken, "_segment", lambda self, number: read.append(number) or segment(self, number)
    )
    collected.correlations.features(np.arange(subject.d_sae))
    assert len(read) == len(set(read)) > 3


@pytest.mark.parametrize(("used", "per_chunk"), [(1, 1), (10, 3), (160, 40), (1000, 63), (1100, 64), (9000, 64)])
def test_a_small_corpus_gives_each_of_four_cores_as_much_to_do(used, per_chunk):
    rows = np.ones((used, 128), np.uint16)
    cut = plan_shards(rows, tokens=127 * used, bos=True, special={0}, chunk_tokens=8192)
    assert cut.used_rows <= used and cut.rows_per_chunk == per_chunk


def test_features_are_correlated_with_those_of_a_second_sae(subject, rows, tmp_path):
    own = subject.sae
    d_in, chosen = own.config.d_in, [7, 2, 2, 30, 11]
    config = SAEConfig(d_in=d_in, d_sae=len(chosen))
    second = SparseAutoencoder(
        config, own.W_enc[:, chosen] * 2, own.W_dec[chosen] * 3, own.b_enc[chosen] * 2, own.b_dec
    )
    collected = _collected(subject, rows, _plan(subject, rows, 200), tmp_path, encoder_b=second)
    for feature in collected.features([2, 7, 30]):
        best = feature.relatives.correlated_b
        assert chosen[best.indices[0]] == feature.index
        assert best.pearson[0] == pytest.approx(1, abs=1e-6)
        assert best.decoder_cosine[0] == pytest.approx(1, abs=1e-6)
    f = subject.sae.encode(subject.activations(rows[:23].astype(np.int64))[:, 1:].flatten(0, 1)).double()
    f = f[~np.isin(rows[:23, 1:].ravel(), sorted(subject.vocabulary.special))]
    found = next(iter(collected.features([12]))).relatives.correlated_b
    expected = reference.pearson(f[:, [12]], f[:, chosen])[0]
    np.testing.assert_allclose(found.pearson, expected[found.indices], rtol=0, atol=1e-5)


def test_a_shard_that_is_there_is_not_made_again_and_a_half_made_one_is(subject, rows, tmp_path, monkeypatch):
    cut = _plan(subject, rows, 200)
    unfinished = shard_folder(tmp_path, 1).with_name("shard-0001.part")
    unfinished.mkdir(parents=True)
    (unfinished / "tokens").write_bytes(b"left by a killed worker")
    collect_shard(ShardPass(subject, True), rows, cut, 1, tmp_path)
    assert not unfinished.exists()
    before = CorpusSums.load(shard_folder(tmp_path, 1)).tokens
    monkeypatch.setattr("features.engine.collect.shard_pass.ShardPass.run", None)  # nothing is computed any more
    collect_shard(ShardPass(subject, True), rows, cut, 1, tmp_path)
    assert CorpusSums.load(shard_folder(tmp_path, 1)).tokens == before


def test_a_cancelled_shard_leaves_nothing(subject, rows, tmp_path):
    def stop(progress):
        raise Cancelled

    with pytest.raises(Cancelled):
        collect_shard(ShardPass(subject, True), rows, _plan(subject, rows, 200), 0, tmp_path, progress=stop)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("screen", ["off", "bfloat16"])
def test_segments_of_special_tokens_are_passed_over(subject, rows, screen):
    """Padding at the start, in the middle, and as whole chunks: the same features as without it."""
    padding = np.full_like(rows[:6], 2)
    padding[:, 0] = rows[0, 0]
    padded = np.concatenate([padding, rows[:10], padding, rows[10:]])
    plain = collect(subject, rows, tokens=TOKENS, screen=screen)
    found = collect(subject, padded, tokens=TOKENS, screen=screen, shard_tokens=200, chunk_tokens=64)
    assert found.summary.l0 == pytest.approx(plain.summary.l0)
    for one, other in zip(found.features(), plain.features(), strict=True):
        assert one.activity.count == other.activity.count
        np.testing.assert_array_equal(one.examples.top.activations, other.examples.top.activations)
