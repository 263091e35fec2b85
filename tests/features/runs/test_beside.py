"""A feature stands beside its counterpart in another SAE at the same place, with chance beside each match."""

import pytest

from features.engine.training import decoder_match
from features.models import SAE, Checkpoint
from features.runs.beside import matches

pytestmark = pytest.mark.django_db


@pytest.fixture
def other(tiny, monkeypatch):
    monkeypatch.setattr(decoder_match, "DIRECTIONS", 256)
    matches._unit_rows.cache_clear(), matches._chance.cache_clear()
    names = ["name", "path", "model_path", "model_name", "hook_point", "format", "d_in", "d_sae", "corpus"]
    return SAE.objects.create(slug="other", checkpoint_hash="d", **{name: getattr(tiny, name) for name in names})


def test_its_counterpart_is_found_by_decoder(client, tiny, other):
    found = matches.counterpart(3, tiny, other)
    assert (found.decoder.feature, found.decoder.mutual, found.index) == (3, True, None)
    assert found.decoder.cosine == pytest.approx(1) and 0 < found.decoder_chance < 0.9
    assert found.verdict == "decoder only" and "no statistics on the same tokens" in found.why_no_activity
    page = client.get("/saes/tiny/features/3/beside/?other=other").content.decode()
    assert "cosine 1.0" in page and "; by chance up to" in page and "<strong>decoder only</strong>" in page
    assert 'href="/saes/other/features/3/"' in page


def test_within_a_run_the_index_says_it(tiny, other, made_run):
    run = made_run()
    Checkpoint.objects.filter(run=run, step=1000).update(sae=other)
    assert matches.counterpart(2, tiny, other).index == 2


def test_only_saes_at_the_same_place_are_offered(client, tiny, other):
    assert 'value="other"' in client.get("/saes/tiny/features/3/beside/").content.decode()
    SAE.objects.filter(slug="other").update(hook_point="blocks.0.hook_resid_post")
    page = client.get("/saes/tiny/features/3/beside/").content.decode()
    assert 'value="other"' not in page and "No other SAE here reads" in page
    assert client.get("/saes/tiny/features/3/beside/?other=other").status_code == 404
    assert client.get("/saes/tiny/features/9/beside/").status_code == 404
