"""What an SAE misses is told by whole forward passes; how near dead features come, by all pre-activations."""

import numpy as np
import pytest
import torch

from features.engine import reference_analysis as reference
from features.engine.analysis import dead as dead_features
from features.engine.analysis import missed
from features.engine.sae.bars import against_threshold
from features.engine.sae.sae import SAEConfig, SparseAutoencoder

from ..small import LENGTH
from .conftest import SPECIAL


@pytest.fixture(scope="module")
def costs(twin, rows):
    """Of predicting each token but the first of each row. [rows, length - 1]"""
    found = []
    for row in rows:
        ids = torch.from_numpy(row.astype(np.int64))
        clean, replaced = twin.losses(ids), twin.losses(ids, lambda h: twin.decode(twin.encode(h)))
        found.append(reference.reconstruction_cost(clean, replaced))
    return torch.stack(found).numpy()


def test_the_most_costly_tokens_rows_and_words_are_those_of_whole_forward_passes(subject, rows, costs, monkeypatch):
    monkeypatch.setattr(missed, "OFTEN", 3)
    chosen = np.arange(3, 30)
    found = missed.missed(subject, rows, chosen, SPECIAL)
    counted = ~np.isin(rows[:, 1:], SPECIAL)
    cost = np.where(counted, costs, np.nan)[3:]
    assert (found.rows, found.predicted) == (27, counted[3:].sum())
    assert found.cost == pytest.approx(np.nanmean(cost), rel=1e-3)
    best = np.unravel_index(np.nanargmax(cost), cost.shape)
    first = found.worst_tokens[0]
    assert (first["row"], first["position"]) == (best[0] + 3, best[1] + 1)
    assert first["reconstructed"] - first["clean"] == pytest.approx(cost[best], rel=1e-3)
    assert found.worst_rows[0]["row"] == np.nanargmax(np.nanmean(cost, 1)) + 3
    assert len(found.worst_rows[0]["costs"]) == LENGTH and found.worst_rows[0]["costs"][0] is None
    places = [(token["row"], token["position"]) for token in found.worst_tokens]
    apart = [abs(p - q) for n, (r, p) in enumerate(places) for s, q in places[:n] if r == s]
    assert min(apart, default=missed.APART) >= missed.APART
    targets = rows[3:, 1:][counted[3:]]
    means = {id: cost[counted[3:]][targets == id].mean() for id in np.unique(targets) if (targets == id).sum() >= 3}
    word = found.worst_words[0]
    assert word["token"] == max(means, key=means.get) and word["cost"] == pytest.approx(max(means.values()), rel=1e-3)


def test_a_dead_feature_came_nearest_where_its_pre_activation_is_highest(subject, rows, dense, twin):
    asked = np.flatnonzero((dense.f > 0).sum(0).numpy() == 0)
    assert len(asked)
    p = (dense.h - twin.sae["b_dec"]) @ twin.sae["W_enc"] + twin.sae["b_enc"]
    found = dead_features.nearest(subject, rows, np.arange(len(rows)), 1, True, asked)
    assert found.tokens == len(dense.h)
    for n, i in enumerate(asked.tolist()):
        gap, token = reference.gap(p[:, i], torch.zeros(len(p)))
        assert found.gaps[n] == pytest.approx(float(gap), rel=1e-4)
        assert (found.rows[n], found.positions[n]) == (dense.rows[token], dense.positions[token])
    on_bos = twin.encode(twin.run(torch.tensor([0]))[0])[0] != 0
    assert found.on_bos.tolist() == on_bos[asked].tolist()


@pytest.mark.parametrize("kind", ["relu", "jumprelu", "topk", "signed_topk", "abstopk", "groupmax"])
def test_a_feature_is_active_just_where_it_is_above_what_it_is_held_against(kind):
    g = torch.Generator().manual_seed(3)
    W, b = torch.randn(6, 12, generator=g), torch.randn(12, generator=g)
    threshold = torch.rand(12, generator=g) - 0.2 if kind == "jumprelu" else None
    config = SAEConfig(6, 12, kind, k=None if "relu" in kind else 4)
    sae = SparseAutoencoder(config, W, W.t(), b, torch.zeros(6), threshold)
    h = torch.randn(50, 6, generator=g)
    values, floors = against_threshold(sae, h, torch.tensor([0, 3, 11]))
    active = sae.encode(h)[:, [0, 3, 11]] != 0
    reached = (
        values > floors if "relu" in kind else (values >= floors) & ((values > 0) | ("abs" in kind) | ("sig" in kind))
    )
    assert active.any() and (active == reached).all()
