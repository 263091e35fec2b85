"""Entries come back feature by feature as they were appended, however they were cut and whatever order they came in."""

import numpy as np
import pytest

from features.engine.store import active_entries as entries_module
from features.engine.store.active_entries import ActiveEntries, ActiveEntriesWriter, Chunk


@pytest.fixture
def dense():
    """[tokens, d_sae] with a dead feature and a full one."""
    rng = np.random.default_rng(0)
    dense = rng.random((60, 9)).astype(np.float32) * (rng.random((60, 9)) < 0.3)
    dense[:, 4], dense[:, 7] = 0, 1 + np.arange(60)
    return dense


def _chunk(dense, first, stop):
    features, tokens = np.nonzero(dense[first:stop].T)
    return Chunk.of(first, stop - first, dense.shape[1], features, tokens, dense[first:stop].T[features, tokens])


def _stored(folder, dense, *shards):
    folders = [folder / str(n) for n in range(len(shards))]
    for shard, cuts in zip(folders, shards, strict=True):
        with ActiveEntriesWriter(shard) as writer:
            for cut in cuts:
                writer.append(_chunk(dense, *cut))
    return ActiveEntries(folders)


@pytest.mark.parametrize("shards", [[[(0, 7), (7, 40), (40, 60)]], [[(40, 60)], [(7, 40), (0, 7)]]])
@pytest.mark.parametrize("block", [2, 256])
def test_each_feature_has_its_entries_in_corpus_order(dense, tmp_path, monkeypatch, shards, block):
    monkeypatch.setattr(entries_module, "BLOCK_FEATURES", block)
    entries = _stored(tmp_path, dense, *shards)
    np.testing.assert_array_equal(entries.counts, (dense != 0).sum(0))
    found = list(entries.features())
    assert [feature.index for feature in found] == list(range(9))
    for feature in found:
        np.testing.assert_array_equal(feature.tokens, np.flatnonzero(dense[:, feature.index]))
        np.testing.assert_array_equal(feature.values, dense[feature.tokens, feature.index])


@pytest.mark.parametrize("most", [1, 50, 1000])
def test_chosen_features_are_read_alone(dense, tmp_path, monkeypatch, most):
    monkeypatch.setattr(entries_module, "BLOCK_ENTRIES", most)
    found = list(_stored(tmp_path, dense, [(0, 60)]).features([7, 0, 4]))
    assert [feature.index for feature in found] == [0, 4, 7]
    assert [len(feature.values) for feature in found] == [(dense[:, 0] != 0).sum(), 0, 60]


def test_a_shard_without_any_entry_is_read_as_such(tmp_path):
    entries = _stored(tmp_path, np.zeros((20, 9), np.float32), [(0, 20)])
    assert [len(feature.values) for feature in entries.features()] == [0] * 9
