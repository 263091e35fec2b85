"""Pages and their JSON, by what a person would read on them."""

import html
import json
import re

import brotli
import pytest
from django.contrib.auth import get_user_model
from django.urls import reverse

from features.models import SAE, Feature, FeaturePayload, Statistics
from features.storage import readers

from .. import shown


@pytest.fixture
def sae(db, tmp_path):
    return shown.shown_sae(tmp_path)


@pytest.fixture
def bare(db, tmp_path):
    return shown.bare_sae(tmp_path, slug="bare", name="Bare")


def address(index, slug="tiny", name="feature"):
    return reverse(f"features:{name}", args=[slug, index])


def embedded(response):
    """The data that the page carries for its script."""
    page = response.content.decode()
    return json.loads(re.search(r'<script id="feature-data"[^>]*>(.*?)</script>', page, re.S)[1])


def text_of(response):
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", response.content.decode())).split())


def test_the_first_paint_needs_four_queries_and_no_second_request(client, sae, django_assert_num_queries):
    # 1 the SAE with its statistics and corpus, 2 the feature, 3 the figures of the features it links to,
    # 4 what is claimed of it
    with django_assert_num_queries(4):
        response = client.get(address(0))
    assert embedded(response)["sequences"]["top"]


def test_the_json_twin_says_the_same_as_the_page(client, sae, django_assert_num_queries):
    page = client.get(address(1))
    with django_assert_num_queries(4):  # the same four
        twin = client.get(address(1, name="feature-json"))
    assert twin["Content-Type"] == "application/json"
    assert twin.json() == embedded(page)


def test_what_is_said_of_a_whole_sae_stands_as_numbers_too(client, sae, bare):
    told = client.get("/saes/tiny.json").json()
    assert (told["format"], told["sae"]["weights"]) == (1, sae.checkpoint_hash)
    assert told["figures"]["l0"] == sae.statistics.l0 and told["figures"]["dead"] == sae.statistics.dead
    assert told["population"]["tokens"] == sae.statistics.tokens and sum(told["density_histogram"]["counts"])
    assert client.get(f"/saes/{bare.slug}.json").json()["figures"] is None
    assert client.get("/saes/none.json").status_code == 404


def test_pages_and_json_are_compressed_where_the_browser_takes_that(client, sae):
    for name in ("feature", "feature-json"):
        plain = client.get(address(1, name=name))
        assert "Content-Encoding" not in plain
        for taken, expected in (("gzip, deflate", "gzip"), ("gzip, deflate, br", "br")):
            small = client.get(address(1, name=name), headers={"Accept-Encoding": taken})
            assert small["Content-Encoding"] == expected and "Accept-Encoding" in small["Vary"]
            assert len(small.content) < len(plain.content) / 2
    assert json.loads(brotli.decompress(small.content)) == plain.json()


def test_corpus_text_cannot_end_the_script_that_carries_it(client, sae):
    page = client.get(address(0)).content.decode()
    assert any("<" in t for s in embedded(client.get(address(0)))["sequences"]["top"] for t in s["tokens"])
    data = re.search(r'<script id="feature-data"[^>]*>(.*?)</script>', page, re.S)[1]
    assert "<" not in data and ">" not in data
    assert "<b>corpus</b>" not in client.get(sae.get_absolute_url()).content.decode()


def test_neighbours_and_ends(client, sae):
    at = {i: client.get(address(i, name="feature-json")).json() for i in (0, 5, shown.D_SAE - 1)}
    assert [(d["previous"], d["next"]) for d in at.values()] == [(None, 1), (4, 6), (shown.D_SAE - 2, None)]


def test_a_number_that_no_feature_has_names_the_range(client, sae):
    for index in (12, 99999, 10**30, -1):
        page = client.get(address(index))
        assert page.status_code == 404
        assert f"Feature {index}: this SAE has features 0 to 11." in text_of(page)
    twin = client.get(address(99999, name="feature-json"))
    assert twin.status_code == 404
    assert twin.json() == {"error": "Feature 99999: this SAE has features 0 to 11."}


def test_an_unknown_sae_lists_those_there_are(client, sae):
    for path in ("/saes/nope/", "/saes/nope/features/", "/saes/nope/features/1/"):
        response = client.get(path)
        assert response.status_code == 404
        assert "There is no SAE “nope” here. Known: tiny." in text_of(response)
    assert "Known: tiny" in client.get("/saes/nope/features/1.json").json()["error"]


def test_an_unknown_address_is_named_as_text(client, db):
    response = client.get("/%3Cscript%3Ealert(1)%3C/script%3E")
    assert response.status_code == 404
    assert "<script>alert" not in response.content.decode()
    assert "There is no page at /%3Cscript%3Ealert%281%29" in text_of(response)


def test_a_feature_without_statistics_says_so_and_how_to_get_them(client, sae, bare):
    for path in (address(9), address(0, "bare")):
        response = client.get(path)
        assert embedded(response)["missing"]
        assert "This feature has no statistics yet." in text_of(response)
        assert 'id="progress"' in response.content.decode()


def test_figures_that_cannot_be_read_are_told_not_a_server_error(client, sae, tmp_path):
    FeaturePayload.objects.filter(feature__index=1).update(payload=b"\0old")
    data = embedded(client.get(address(1)))
    assert data["missing"] and "Recompute the statistics" in data["problem"]
    (tmp_path / "tiny.npy").unlink()
    readers._rows.cache_clear()
    twin = client.get(address(0, name="feature-json")).json()
    assert twin["missing"] and "tiny.npy" in twin["problem"]


def test_pages_of_an_sae_without_statistics_stand(client, bare):
    for path in ("/", "/saes/bare/", "/saes/bare/features/"):
        response = client.get(path)
        assert response.status_code == 200
        assert "no statistics yet" in text_of(response).lower()
    assert client.get("/saes/bare/features/random/").status_code == 302


def test_only_staff_get_the_means_to_change_a_computation(client, bare):
    assert "data-csrf" not in client.get("/saes/bare/").content.decode()
    client.force_login(get_user_model().objects.create_user("ada", is_staff=True))
    assert "data-csrf" in client.get("/saes/bare/").content.decode()


def test_home_explains_itself_and_names_each_sae_with_its_figures(client, sae):
    read = text_of(client.get("/"))
    assert "Each direction is a feature" in read
    assert "Tiny 12 features of gelu-1l-mini" in read
    assert "Explained variance 80.0 %" in read.replace("\xa0", " ")
    assert "Start here" in read


def test_home_without_any_sae_says_how_to_get_one(client, db):
    assert "manage.py load_demo" in text_of(client.get("/"))


def test_the_overview_tells_where_the_figures_come_from(client, sae):
    read = text_of(client.get(sae.get_absolute_url())).replace("\xa0", " ")
    for told in (
        "L0 2.500", "Explained variance 80.0 %", "Loss recovered 90.0 %", "Dead 1 of 12 features",
        "9,600 tokens of Made-up <b>corpus</b>, seed 0", "Public domain", "SAELens, 1024 → 12",
        "sha256 c0ffee", "blocks.0.mlp.hook_post ; loss effects are total", "torch made up",
    ):  # fmt: skip
        assert told in read, told


def test_losses_have_intervals_and_no_digit_beyond_them(client, sae):
    old = text_of(client.get("/saes/tiny/"))
    assert "Cost of reconstruction 0.100 nats" in old and "compute the statistics again to have them" in old
    margins = {"loss_recovered_margin": 0.0062, "loss_cost_margin": 0.0048}
    Statistics.objects.update(loss_rows=256, loss_recovered=0.93712, **margins)
    new = text_of(client.get("/saes/tiny/")).replace("\xa0", " ")
    assert "Loss recovered 93.7 ± 0.6 % (95 %)" in new
    assert "Cost of reconstruction 0.100 ± 0.005 nats (95 %)" in new and "of 256 rows" in new
    assert "93.7 ± 0.6 %" in text_of(client.get("/")).replace("\xa0", " ")


def test_the_overview_warns_when_the_checkpoint_has_changed_since(client, sae):
    SAE.objects.update(checkpoint_hash="beef" * 16)
    assert "computed with another checkpoint: c0ffee" in text_of(client.get(sae.get_absolute_url()))


def test_the_overview_warns_when_the_weights_are_read_in_another_way_since(client, sae):
    SAE.objects.update(configs_hash="beef" * 16)
    assert "computed with another reading of these weights" in text_of(client.get(sae.get_absolute_url()))


def landed(client, query=""):
    """Where a random feature led to."""
    location = client.get(f"/saes/tiny/features/random/{query}")["Location"]
    return int(re.search(r"/features/(\d+)", location)[1]), location


def test_random_leads_to_features_worth_reading(client, sae):
    Feature.objects.filter(index__in=[0, 1, 2]).update(count=19)  # too rare
    Feature.objects.filter(index__in=[4, 5]).update(density=0.5)  # dense
    assert {landed(client)[0] for _ in range(60)} == {6, 7}


def test_plain_random_reaches_every_feature(client, sae):
    missing = set(range(shown.D_SAE))
    for _ in range(1000):  # after 40 or so none is missing
        missing -= {landed(client, "?among=all")[0]}
        if not missing:
            return
    assert not missing


def test_random_stays_in_the_list_that_is_read(client, sae):
    assert {landed(client, "?only=3,5")[0] for _ in range(40)} == {3, 5}
    assert landed(client, "?only=3,5")[1].endswith("/?only=3%2C5")
    assert re.search(r"/features/\d\.json\?only", landed(client, "?only=3,5&as=json")[1])


def test_random_when_nothing_is_worth_reading_takes_what_fires(client, sae):
    Feature.objects.update(count=1)
    Feature.objects.exclude(index=6).update(count=0)
    assert landed(client)[0] == 6


def test_pages_are_read_only(client, sae):
    for path in ("/", "/saes/tiny/", "/saes/tiny/features/", address(0)):
        assert client.post(path).status_code == 405
        assert client.head(path).status_code == 200
