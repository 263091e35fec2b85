"""The map of decoders: the same for a seed, near what is near, made by a worker for those who may compute."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from django.contrib.auth import get_user_model

from features.engine.weights.decoder_map import decoder_map
from features.jobs import worker
from features.models import DecoderMap
from features.overview import maps

from .. import shown


@pytest.fixture(scope="module")
def decoder():
    """Five bundles of twelve, of lengths that say nothing, and a row of zeros."""
    rng = np.random.default_rng(3)
    rows = np.repeat(rng.normal(size=(5, 20)), 12, 0) + 0.2 * rng.normal(size=(60, 20))
    return np.concatenate([rows * rng.uniform(0.1, 9, (60, 1)), np.zeros((1, 20))]).astype(np.float32)


def test_a_map_is_the_same_for_a_seed_and_keeps_bundles_together(decoder):
    heard = []
    places = decoder_map(decoder, seed=1, report=lambda *now: heard.append(now))
    assert places.shape == (61, 2) and np.isnan(places[60]).all() and np.isfinite(places[:60]).all()
    np.testing.assert_array_equal(places, decoder_map(decoder, seed=1))
    far = np.linalg.norm(places[:60, None] - places[None, :60], axis=2) + np.diag([np.inf] * 60)
    assert (far.argmin(1) // 12 == np.arange(60) // 12).all()
    assert heard == sorted(heard) and heard[-1][0] < heard[-1][1]

    def stop(*_):
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        decoder_map(decoder, report=stop)


def test_a_worker_makes_the_map_that_staff_ask_for_once(client, db, tmp_path, sent, monkeypatch):
    sae = shown.shown_sae(tmp_path)
    weights = SimpleNamespace(W_dec=torch.randn(12, 16, generator=torch.Generator().manual_seed(0)))
    monkeypatch.setattr(maps, "autoencoder_of", lambda sae: weights)
    assert client.post("/saes/tiny/overview/map/").status_code == 403
    client.force_login(get_user_model().objects.create_superuser("ada"))
    assert "Make a map of decoders" in client.get("/saes/tiny/overview/").content.decode()
    for _ in range(2):
        assert client.post("/saes/tiny/overview/map/").status_code == 302
    (asked,) = DecoderMap.objects.all()
    assert client.get(f"/maps/{asked.pk}.json").json()["can_cancel"]
    worker.work({DecoderMap: maps.run_map})
    page = client.get("/saes/tiny/overview/").content.decode()
    assert "map of decoders" in page and "Make a map" not in page
    told = client.get(f"/saes/tiny/overview/map/{asked.pk}.f32")
    assert np.isfinite(np.frombuffer(told.content, "<f4").reshape(12, 2)).all()
    sae.checkpoint_hash = "other weights"
    sae.save()
    assert maps.map_of(sae) is None and maps.newest(sae) is None
