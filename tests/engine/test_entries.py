"""Entries come back feature by feature as they were appended, and leave nothing on the disk."""

import numpy as np
import pytest

from features.engine.entries import ActiveEntries


@pytest.fixture
def dense():
    """[tokens, d_sae] with a dead feature and a full one."""
    rng = np.random.default_rng(0)
    dense = rng.random((60, 9)).astype(np.float32) * (rng.random((60, 9)) < 0.3)
    dense[:, 4], dense[:, 7] = 0, 1 + np.arange(60)
    return dense


def _append(entries, dense, first, stop):
    features, tokens = np.nonzero(dense[first:stop].T)
    counts = np.bincount(features, minlength=dense.shape[1])
    entries.append(first, counts, tokens, dense[first:stop].T[features, tokens])


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize("block", [2, 256])
def test_each_feature_has_its_entries_in_corpus_order(dense, order, block):
    cuts = [(0, 7), (7, 40), (40, 60)]
    with ActiveEntries(9) as entries:
        for n in order:
            _append(entries, dense, *cuts[n])
        np.testing.assert_array_equal(entries.counts, (dense != 0).sum(0))
        for feature in entries.features(block=block):
            np.testing.assert_array_equal(feature.tokens, np.flatnonzero(dense[:, feature.index]))
            np.testing.assert_array_equal(feature.values, dense[feature.tokens, feature.index])


def test_chosen_features_are_read_alone(dense):
    with ActiveEntries(9) as entries:
        _append(entries, dense, 0, 60)
        found = list(entries.features([7, 0, 4], block=4))
    assert [feature.index for feature in found] == [0, 4, 7]
    assert [len(feature.values) for feature in found] == [(dense[:, 0] != 0).sum(), 0, 60]


def test_nothing_has_a_name_on_the_disk_so_nothing_is_left_by_a_killed_process(dense, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with ActiveEntries(9) as entries:
        _append(entries, dense, 0, 60)
        assert not list(tmp_path.iterdir())
