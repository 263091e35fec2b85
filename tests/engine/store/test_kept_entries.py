"""Kept entries are the dense activations both ways, whatever the shards were, and damage is noticed."""

import numpy as np
import pytest

from features.engine.files import sha256, whole_folder
from features.engine.store.active_entries import ActiveEntries, ActiveEntriesWriter, Chunk
from features.engine.store.kept_entries import KeptEntries, KeptEntriesDamaged, bytes_needed, write_kept

TOKENS, D_SAE = 60, 9
SHARDS = [[(40, 60)], [(7, 40), (0, 7)]]  # of two machines, in any order


@pytest.fixture
def dense():
    """[tokens, d_sae], with a dead feature, a full one, and activations below 0."""
    rng = np.random.default_rng(0)
    dense = rng.normal(size=(TOKENS, D_SAE)).astype(np.float32) * (rng.random((TOKENS, D_SAE)) < 0.3)
    dense[:, 4], dense[:, 7] = 0, 1 + np.arange(TOKENS)
    dense[50] = 0  # a token without any
    return dense


@pytest.fixture
def kept(dense, tmp_path):
    return _kept(dense, tmp_path, SHARDS)


def _kept(dense, folder, shards):
    folders = [folder / f"shard {n}" for n in range(len(shards))]
    for shard, cuts in zip(folders, shards, strict=True):
        with ActiveEntriesWriter(shard) as writer:
            for first, stop in cuts:
                features, tokens = np.nonzero(dense[first:stop].T)
                values = dense[first:stop].T[features, tokens]
                writer.append(Chunk.of(first, stop - first, D_SAE, features, tokens, values))
    entries, heard = ActiveEntries(folders), []
    with whole_folder(folder / "kept") as unfinished:
        manifest = write_kept(unfinished, entries, {"corpus": "c0ffee"}, lambda *done: heard.append(done))
    kept = KeptEntries.open(folder / "kept", manifest)
    count = int((dense != 0).sum())
    assert (heard[-1] if count else (0, 0)) == (2 * count, 2 * count)
    assert (
        kept.bytes
        == bytes_needed(entries)
        == sum(kept.folder.joinpath(f).stat().st_size for f in kept.manifest["files"])
    )
    return kept


def test_by_token_and_by_feature_they_are_the_dense_activations(dense, kept):
    by_token = np.zeros_like(dense)
    tokens = np.repeat(np.arange(TOKENS), np.diff(kept.token_offsets))
    by_token[tokens, kept.token_features] = kept.token_values
    np.testing.assert_array_equal(by_token, dense)
    assert (np.diff(tokens * D_SAE + kept.token_features) > 0).all()  # ascending within a token
    for index in range(D_SAE):
        feature = kept.feature(index)
        np.testing.assert_array_equal(feature.tokens, np.flatnonzero(dense[:, index]))
        np.testing.assert_array_equal(feature.values, dense[feature.tokens, index])
    exact = dense.astype(np.float64)
    np.testing.assert_allclose(kept.sums, [exact.sum(0), np.abs(exact).sum(0), (exact**2).sum(0)], rtol=1e-15)
    assert kept.manifest["about"] == {"corpus": "c0ffee"}


def test_a_pass_without_any_activation_is_kept_as_such(dense, tmp_path):
    kept = _kept(dense * 0, tmp_path, [[(0, TOKENS)]])
    kept.check()
    assert len(kept.feature(3).values) == len(kept.token_values) == 0


@pytest.mark.parametrize("file", ["token_values", "feature_counts", "manifest.json"])
@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_damage_is_noticed_by_size_or_checksum(kept, file, damage):
    path, sha = kept.folder / file, sha256(kept.folder / "manifest.json")
    data = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    else:
        data[len(data) // 2] ^= 1
        path.write_bytes(data if damage == "changed" else data[:-1])
    with pytest.raises(KeptEntriesDamaged, match=file):
        KeptEntries.open(kept.folder, sha).check()
