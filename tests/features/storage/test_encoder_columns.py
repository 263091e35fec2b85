"""Figures of encoders: written with the features, made from the weights where they were not, told to the reader."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from features.engine.results import Encoders
from features.engine.weights import health
from features.models import Feature
from features.storage.catch_up import encoder_columns

from .. import shown

ENCODERS = Encoders(
    norms=np.arange(1.0, 13.0, dtype=np.float32),
    cosines=np.array([np.nan, *np.linspace(-1, 1, 11)], np.float32),
    common=np.arange(12) == 5,
    swarm=np.isin(np.arange(12), (2, 4)),
)


@pytest.fixture
def sae(db, tmp_path):
    return shown.shown_sae(tmp_path)


def listed(client, query):
    told = json.loads(b"".join(client.get(f"/saes/tiny/features.json?{query}").streaming_content))
    return [row["feature"] for row in told["features"]]


def test_members_are_told_on_page_and_table_and_random_leaves_them_out(client, sae):
    for row in Feature.objects.shown_of(sae):
        encoder_columns.set_columns(row, ENCODERS)
        row.save()
    assert listed(client, "show=swarm") == [2, 4] and listed(client, "show=common") == [5]
    assert listed(client, "show=apart") == [0, 1, 3, 6, 7]
    assert listed(client, "range=encoder_norm:3..4") == [2, 3]
    told = client.get("/saes/tiny/features/2.json").json()
    assert told["swarm"] and not told["common_direction"]
    drawn = {client.get("/saes/tiny/features/random/")["Location"].split("/")[-2] for _ in range(30)}
    assert not drawn & {"2", "4", "5"}


def test_sets_of_earlier_versions_are_filled_from_the_weights_and_say_what_is_not_known(client, sae, monkeypatch):
    torch.manual_seed(0)
    weights = SimpleNamespace(W_enc=torch.randn(16, 12), W_dec=torch.randn(12, 16), device="cpu")
    weights.config = SimpleNamespace(d_sae=12)
    monkeypatch.setattr(encoder_columns, "autoencoder_of", lambda sae: weights)
    monkeypatch.setattr(encoder_columns, "BATCH", 3)
    monkeypatch.setattr(health, "LEAST_FEATURES", 5)
    sae.statistics.health = {"swarm": 3}
    sae.statistics.save()
    assert encoder_columns.unfilled() == [sae]
    encoder_columns.fill_all()
    assert encoder_columns.unfilled() == []
    for row in Feature.objects.shown_of(sae):
        column, decoder = weights.W_enc[:, row.index].double(), weights.W_dec[row.index].double()
        assert row.encoder_norm == pytest.approx(float(column.norm()), rel=1e-6)
        cosine = float(column @ decoder / column.norm() / decoder.norm())
        assert row.encoder_cosine == pytest.approx(cosine, abs=1e-6)
    assert "3 features are in a swarm; which ones" in client.get("/saes/tiny/features/?show=swarm").content.decode()


def test_weights_that_cannot_be_read_are_tried_again_when_their_files_are_others(sae, tmp_path, monkeypatch):
    weights, reads = tmp_path / "half.pt", []
    weights.write_bytes(b"half")
    sae.path = str(weights)
    sae.save()
    monkeypatch.setattr(encoder_columns, "autoencoder_of", lambda sae: (reads.append(1), int("no weights")))
    for _ in range(2):
        encoder_columns.fill_all()
    assert len(reads) == 1 and encoder_columns.unfilled() == []
    weights.write_bytes(b"another half")
    assert encoder_columns.unfilled() == [sae]
    weights.unlink()
    assert encoder_columns.unfilled() == [sae]
    encoder_columns.fill_all()
    assert encoder_columns.unfilled() == []
