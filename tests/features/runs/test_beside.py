"""A feature stands beside its counterpart in another SAE at the same place, with chance beside each match."""

import pytest

from features.engine.training import decoder_match
from features.jobs import worker
from features.models import SAE, Checkpoint, Comparison
from features.runs.beside import dictionaries, matches

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


def test_within_a_run_the_index_says_it(tiny, other, made_run, sent):
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


def test_two_whole_dictionaries_are_compared_and_listed(client, admin_client, tiny, other, made_run, sent):
    Checkpoint.objects.filter(run=made_run(), step=1000).update(sae=other)
    page = client.get("/saes/tiny/beside/?other=other").content.decode()
    assert "have not been compared yet" in page and "<h2>Health</h2>" in page
    assert '>48.5</td><td class="number wraps">50' in page  # L0 of both, on the same rows
    assert client.post("/saes/tiny/beside/compare/", {"other": "other"}).status_code == 403
    assert admin_client.post("/saes/tiny/beside/compare/", {"other": "other"}).status_code == 302
    worker.work({Comparison: dictionaries.run_comparison})
    found = Comparison.objects.get()
    assert found.state == "done" and found.figures["shares"] == {
        "matched": 0, "decoder only": 4096, "activations only": 0, "unmatched": 0}  # fmt: skip
    page = client.get("/saes/tiny/beside/?other=other&list=decoder%20only").content.decode()
    assert "4,096 features</h2>" in page and "1 to 100 of 4,096" in page and "/beside/?other=other" in page
    assert "no statistics on the same tokens" in page
    assert client.get("/saes/tiny/beside/?other=other&list=nonsense").status_code == 404
    SAE.objects.filter(slug="other").update(checkpoint_hash="new")
    assert "of before" in client.get("/saes/tiny/beside/?other=other").content.decode()
