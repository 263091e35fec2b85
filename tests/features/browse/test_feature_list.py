"""The table of features: every sort, filter and search is an address, and the pages follow its order."""

import re

import pytest
from django.http import QueryDict

from features.browse.feature_list import SORTS, FeatureList
from features.models import Feature

from .. import shown


@pytest.fixture
def sae(db, tmp_path):
    return shown.shown_sae(tmp_path)


def listed(client, query=""):
    page = client.get(f"/saes/tiny/features/{query}").content.decode()
    return [int(i) for i in re.findall(r'<tr data-index="(\d+)"', page)]


def test_it_lists_every_computed_feature_by_number(client, sae, django_assert_num_queries):
    # 1 the SAE, 2 how many features, 3 those of this page
    with django_assert_num_queries(3) as queries:
        assert listed(client) == list(range(shown.COMPUTED))
    assert not [query for query in queries if "payload" in query["sql"] or "quantiles" in query["sql"]]


@pytest.mark.parametrize("sort", [*SORTS, *(f"-{name}" for name in SORTS)])
def test_it_sorts_by_every_column_both_ways(client, sae, sort):
    features = sorted(Feature.objects.all(), key=lambda f: f.index)  # equals stay in this order
    features.sort(key=lambda f: getattr(f, sort.removeprefix("-")), reverse=sort.startswith("-"))
    assert listed(client, f"?sort={sort}") == [f.index for f in features]


@pytest.mark.parametrize("sort", [*SORTS, *(f"-{name}" for name in SORTS)])
def test_previous_and_next_follow_the_list(client, sae, sort):
    Feature.objects.filter(index__in=[1, 2, 5]).update(density=0.25, maximum=1.0, top_token="same")  # ties
    order = listed(client, f"?sort={sort}&show=alive")
    assert len(order) == 7
    for at, index in enumerate(order):
        data = client.get(f"/saes/tiny/features/{index}.json?sort={sort}&show=alive").json()
        assert data["previous"] == (order[at - 1] if at else None)
        assert data["next"] == (order[at + 1] if at + 1 < len(order) else None)


def test_a_feature_outside_the_list_leads_back_into_it(client, sae):
    data = client.get("/saes/tiny/features/4.json?only=2,6").json()
    assert (data["previous"], data["next"]) == (2, 6)


def test_filters_alive_dead_dense_and_worth_reading(client, sae):
    Feature.objects.exclude(index=3).update(density=0.05)
    Feature.objects.filter(index=5).update(density=0.2)
    Feature.objects.filter(index=6).update(count=3)
    assert listed(client, "?show=alive") == [0, 1, 2, 4, 5, 6, 7]
    assert listed(client, "?show=dead") == [3]
    assert listed(client, "?show=dense") == [5]
    assert listed(client, "?show=sparse") == [0, 1, 2, 4, 7]


def test_search_by_token_fired_on_and_token_boosted(client, sae):
    Feature.objects.filter(index=2).update(top_token=" Django", top_logit="('")
    Feature.objects.filter(index=6).update(top_token="('", top_logit="django")
    assert listed(client, "?q=django") == [2]
    assert listed(client, "?q=DJANGO&by=boosted") == [6]
    assert listed(client, "?q=+dj") == [2]  # a space counts: tokens have them
    assert listed(client, "?q=%25") == []  # no wildcard


def test_nothing_found_says_so(client, sae):
    assert "No feature matches" in client.get("/saes/tiny/features/?q=zzz").content.decode()


def test_rows_link_to_features_within_the_list(client, sae):
    page = client.get("/saes/tiny/features/?show=alive&sort=-density").content.decode()
    assert '/saes/tiny/features/0/?show=alive&amp;sort=-density"' in page


def test_tokens_and_searches_are_shown_as_text(client, sae):
    Feature.objects.filter(index=2).update(top_token="<img src=x>", top_logit=" \n")
    page = client.get("/saes/tiny/features/?q=<img").content.decode()
    assert "&lt;img src=x&gt;" in page and "<img" not in page
    assert '<span class="lone">·⏎</span>' in page


@pytest.mark.parametrize(
    "query", ["?sort=payload", "?show=<b>", "?by=x&q=", "?only=a,-1,1e9", "?page=99", "?page=x", "?q=%00"]
)
def test_what_it_does_not_understand_reads_as_the_default(client, sae, query):
    assert listed(client, query) == list(range(shown.COMPUTED))


def test_pages_of_a_long_table(client, sae, monkeypatch):
    monkeypatch.setattr("features.browse.views.PER_PAGE", 3)
    pages = [listed(client, f"?sort=-index&page={n}") for n in (1, 2, 3)]
    assert pages == [[7, 6, 5], [4, 3, 2], [1, 0]]
    page = client.get("/saes/tiny/features/?sort=-index&page=2").content.decode()
    assert 'href="?sort=-index&amp;page=3"' in page


def test_a_list_survives_its_own_address():
    features = FeatureList(show="alive", q="a&b ", by="boosted", sort="-mean", only=(1, 2))
    assert FeatureList.from_query(QueryDict(features.query()[1:])) == features
    assert FeatureList().query() == "" and FeatureList().is_plain
