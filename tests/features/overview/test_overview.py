"""All features as points: the arrays behind them, and the page in a browser."""

import numpy as np
import pytest

from features.engine.store.kept_entries import FeatureEntries
from features.models import Feature, FeaturePayload
from features.overview import pair
from tests.browser import browser, page  # noqa: F401

from .. import shown

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def sae(transactional_db, tmp_path):
    return shown.shown_sae(tmp_path)


def test_features_are_points_that_say_what_they_are_and_a_brush_leads_to_the_table(page, live_server, client, sae):  # noqa: F811
    told = np.frombuffer(client.get("/saes/tiny/overview/density.f32").content, "<f4")
    rows = {row.index: row for row in Feature.objects.shown_of(sae)}
    assert len(told) == shown.D_SAE
    for index, value in enumerate(told):
        assert value == np.float32(rows[index].density) if index in rows else np.isnan(value)
    peaks = np.frombuffer(client.get("/saes/tiny/overview/peak.f32").content, "<f4")
    assert np.isnan(peaks[3]) and peaks[0] == pytest.approx(rows[0].maximum / rows[0].mean)  # 3 is dead
    listed = np.frombuffer(client.get("/saes/tiny/overview/listed.u32?only=2,5").content, "<u4")
    assert sorted(listed) == [2, 5]
    assert client.get("/saes/tiny/overview/weather.f32").status_code == 404

    page.goto(f"{live_server.url}/saes/tiny/overview/?x=density&y=maximum&xlog=0&ylog=0")
    page.wait_for_function("() => counts.textContent.includes('of 12 features')")
    assert "7 of 12 features; 5 have no such figure" in page.locator("#counts").text_content()
    painted = "() => points.getContext('2d').getImageData(0, 0, points.width, points.height).data.some((v) => v)"
    assert page.evaluate(painted)
    box = page.locator("#above").bounding_box()
    page.locator("[name=find]").fill("2")
    page.locator("[name=find]").press("Tab")
    page.locator("#chosen a").first.wait_for()
    assert page.locator("#chosen a").first.text_content() == "#2"
    page.get_by_role("heading", name="Nearest decoders").wait_for()
    page.mouse.move(box["x"] + 2, box["y"] + 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 2, box["y"] + box["height"] - 2, steps=3)
    page.mouse.up()
    page.get_by_role("link", name="Show them in the table").click()
    page.locator("tr[data-index]").first.wait_for()
    assert page.locator("tr[data-index]").count() == 7


class Kept:
    """Activations of two features on 40 tokens, which lie in rows of 15 counted ones each."""

    f = np.where(np.arange(40) % 3 == 0, np.arange(40) * 0.1, 0).astype(np.float32)
    g = np.where(np.arange(40) % 2 == 0, 2 + np.sin(np.arange(40)), 0).astype(np.float32)
    sums = np.array([[f.sum(), g.sum()], [f.sum(), g.sum()], [(f**2).sum(), (g**2).sum()]], np.float64)

    def feature(self, index):
        values = (self.f, self.g)[index]
        tokens = np.flatnonzero(values).astype(np.uint32)
        return FeatureEntries(index, tokens, values[tokens])


def test_two_features_stand_side_by_side_with_how_alike_they_are(client, sae, monkeypatch):
    told = client.get("/saes/tiny/features/0/compare/?with=1").content.decode()
    a, b = Feature.objects.shown_of(sae).with_payloads().filter(index__in=(0, 1))
    stored = pair._relatives(a).neighbours
    cosine = float(stored.cosine[stored.indices.tolist().index(1)])
    assert pair.decoder_cosine(sae, a, b) == cosine
    assert "Feature #0 beside #1" in told and "a version that kept no activations" in told
    assert client.get("/saes/tiny/features/0/compare/?with=99").status_code == 404
    assert client.get("/saes/tiny/features/11/compare/").status_code == 200  # without statistics
    stored = bytes(a.payload)
    FeaturePayload.objects.filter(feature=a).update(payload=stored[:-9])
    assert "of its neighbours cannot be read" in client.get("/saes/tiny/features/0/compare/").content.decode()
    FeaturePayload.objects.filter(feature=a).update(payload=stored)

    monkeypatch.setattr(pair, "kept_of", lambda sae: Kept())
    a.tokens = 40
    a.count, b.count = (Kept.f != 0).sum(), (Kept.g != 0).sum()
    found = pair.together(sae, a, b)
    assert found["correlation"] == pytest.approx(np.corrcoef(Kept.f, Kept.g)[0, 1], rel=1e-5)
    both = np.flatnonzero((Kept.f != 0) & (Kept.g != 0))
    assert found["both"] == len(both) and found["given_b"] == len(both) / b.count
    for line in found["examples"]:
        token = line["row"] * 15 + line["start"] + line["position"] - 1  # rows begin with BOS
        assert token in both and line["other"] == pytest.approx(Kept.g[token], rel=1e-4)
        assert line["activation"] == pytest.approx(Kept.f[token], rel=1e-4)


def test_what_stands_beside_nothing_says_so_in_its_title(client, sae):
    told = client.get("/saes/tiny/features/11/compare/").content.decode()
    assert "<title>#11 – Tiny – saeviz</title>" in told
