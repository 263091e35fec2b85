"""Which feature of another dictionary is this one, against the slow obvious way; nothing above chance by accident."""

import numpy as np
import pytest
import torch

from features.engine.reference import pearson
from features.engine.store.active_entries import ActiveEntries, ActiveEntriesWriter, Chunk
from features.engine.store.kept_entries import KeptEntries, write_kept
from features.engine.training import activity_match, decoder_match, dictionary_match

ROWS, WIDTH, FEATURES = 60, 10, 12


def kept(folder, acts):
    """Dense activations [tokens, features] as they are kept."""
    features, tokens = np.nonzero(acts.T)
    with ActiveEntriesWriter(folder / "entries") as writer:
        writer.append(Chunk.of(0, len(acts), acts.shape[1], features, tokens, acts[tokens, features]))
    (folder / "kept").mkdir()
    return KeptEntries.open(folder / "kept", write_kept(folder / "kept", ActiveEntries([folder / "entries"])))


@pytest.fixture
def dense():
    rng = np.random.default_rng(0)
    a = (rng.random((ROWS * WIDTH, FEATURES)) * (rng.random((ROWS * WIDTH, FEATURES)) < 0.2)).astype(np.float32)
    b = (rng.random(a.shape) * (rng.random(a.shape) < 0.2)).astype(np.float32)
    b[:, 7] = a[:, 2] * 3 + b[:, 7] * 0.1  # 7 there is 2 here
    a[:, 5] = 0
    return a, b


def test_the_feature_that_fires_alike_is_found_above_chance(dense, tmp_path):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    own, other = kept(tmp_path / "a", dense[0]), kept(tmp_path / "b", dense[1])
    found = activity_match.activity_match(own, other, 2, ROWS * WIDTH, WIDTH)
    assert (found.feature, found.mutual) == (7, True) and found.correlation > 0.9 > 0.5 > found.chance > 0
    entries = own.feature(2)
    every = activity_match.correlations(entries.tokens, entries.values, other, ROWS * WIDTH)
    a, b = (torch.from_numpy(each).double() for each in dense)
    assert every == pytest.approx(pearson(a[:, 2:3], b)[0].numpy(), abs=1e-6)
    assert activity_match.activity_match(own, other, 5, ROWS * WIDTH, WIDTH) is None
    stranger = activity_match.activity_match(own, other, 9, ROWS * WIDTH, WIDTH)
    assert stranger.correlation < found.correlation and stranger.chance < 0.5


def test_the_nearest_decoder_row_is_found_and_chance_is_below_it(monkeypatch):
    monkeypatch.setattr(decoder_match, "DIRECTIONS", 256)
    g = torch.Generator().manual_seed(0)
    own = decoder_match.unit_rows(torch.randn(40, 64, generator=g))
    others = decoder_match.unit_rows(torch.randn(50, 64, generator=g))
    others[30] = decoder_match.unit_rows(own[4:5] + 0.1 * others[30:31])[0]
    found = decoder_match.decoder_match(own, others, 4)
    assert (found.feature, found.mutual) == (30, True) and found.cosine > 0.9
    chance = decoder_match.chance_cosine(others)
    assert 0.3 < chance < 0.8 < found.cosine
    assert decoder_match.decoder_match(own, others, 5).cosine < chance


def test_whole_dictionaries_are_matched_as_feature_by_feature(dense, tmp_path, monkeypatch):
    monkeypatch.setattr(dictionary_match, "AT_ONCE", 5)
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    own, other = kept(tmp_path / "a", dense[0]), kept(tmp_path / "b", dense[1])
    g = torch.Generator().manual_seed(0)
    rows = decoder_match.unit_rows(torch.randn(FEATURES, 64, generator=g))
    others = decoder_match.unit_rows(torch.randn(FEATURES, 64, generator=g))
    others[7], others[4] = rows[2], rows[3]  # 3 writes what 4 does there, but they fire on other tokens
    pairs = dictionary_match.by_decoder(rows, others)
    dictionary_match.by_activity(pairs, own, other, ROWS * WIDTH, WIDTH)
    for feature in range(FEATURES):
        one = decoder_match.decoder_match(rows, others, feature)
        assert (one.feature, one.mutual) == tuple(pairs[["decoder", "decoder_mutual"]][feature])
        best = activity_match.activity_match(own, other, feature, ROWS * WIDTH, WIDTH)
        found = (-1, False) if best is None else (best.feature, best.mutual)
        assert found == tuple(pairs[["activity", "activity_mutual"]][feature])
    said = dictionary_match.verdicts(pairs, decoder_chance=0.8)
    assert [dictionary_match.VERDICTS[each] for each in said[2:4]] == ["matched", "decoder only"]
    assert 0 < pairs["correlation_chance"][2] < pairs["correlation"][2]
