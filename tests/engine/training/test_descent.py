"""Features that split or merged between two checkpoints, by hand."""

import numpy as np
import torch

from features.engine.training import decoder_match
from features.engine.training.descent import split_and_merged


def test_two_that_come_from_one_have_split_and_one_that_two_become_has_merged(monkeypatch):
    monkeypatch.setattr(decoder_match, "DIRECTIONS", 256)
    before = torch.eye(100, 128)
    now = before.clone()
    now[1] = before[0] + 0.1 * before[1]  # beside 0, which stayed: both come from 0
    now[2] = before[2] + 0.9 * before[3]  # 2 takes 3 in, which falls silent
    now[4] = torch.ones(128) * 1e-3  # looks like nothing that was there
    now[6] = before[5]  # as 5, but silent: nobody knows
    own = torch.nn.functional.cosine_similarity(now, before).numpy()
    counts = np.full(100, 50)
    silent = counts.copy()
    silent[[3, 6]] = 0
    split, merged = split_and_merged(now, before, own, silent, counts)
    assert np.flatnonzero(split).tolist() == [0, 1] and np.flatnonzero(merged).tolist() == [2]
    assert not np.any(split_and_merged(before, before, np.ones(100), counts, counts))
