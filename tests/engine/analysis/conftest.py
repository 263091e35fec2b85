"""The small SAE's activations on all rows, kept, and dense beside them."""

import numpy as np
import pytest
import torch

from features.engine.collect import shards
from features.engine.collect.shard_pass import ShardPass
from features.engine.store.active_entries import ActiveEntries
from features.engine.store.kept_entries import KeptEntries, write_kept

from ..small import LENGTH
from ..twin import DenseCorpus, Twin

SPECIAL = (0, 1, 2)


@pytest.fixture(scope="session")
def twin(small_folder):
    return Twin.read(small_folder)


@pytest.fixture(scope="session")
def dense(twin, rows):
    return DenseCorpus.of(twin, rows)


@pytest.fixture(scope="session")
def kept(subject, rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept")
    special = set(SPECIAL)
    plan = shards.plan_shards(rows, tokens=800, bos=True, special=special, shard_tokens=rows.size)
    plan = shards.ShardPlan(True, int((~np.isin(rows, SPECIAL)).sum()), ((0, len(rows)),), plan.rows_per_chunk)
    shards.collect_shard(ShardPass(subject, 1), rows, plan, 0, folder)
    (folder / "kept").mkdir()
    entries = ActiveEntries([shards.shard_folder(folder, 0) / "encoder_a"])
    return KeptEntries.open(folder / "kept", write_kept(folder / "kept", entries))


@pytest.fixture(scope="session")
def number(dense):
    """The number that kept entries give each counted token of the dense ones. [tokens]"""
    return (dense.rows * (LENGTH - 1) + dense.positions - 1).numpy()


@pytest.fixture(scope="session")
def predicts(dense, rows):
    """Whether a counted token follows each counted one. [tokens] bool"""
    following = [
        p + 1 < LENGTH and int(rows[r, min(p + 1, LENGTH - 1)]) not in SPECIAL
        for r, p in zip(dense.rows.tolist(), dense.positions.tolist(), strict=True)
    ]
    return torch.tensor(following)
