"""The table of features: every sort, filter and search is an address, and the pages follow its order."""

import csv
import io
import json
import re

import pytest
from django.http import QueryDict
from pyarrow import parquet

from features.browse.columns import BY_NAME, COLUMNS
from features.browse.feature_list import FeatureList
from features.browse.ranges import Range
from features.models import Feature, FeatureDescription

from .. import shown


@pytest.fixture
def sae(db, tmp_path):
    return shown.shown_sae(tmp_path)


def listed(client, query=""):
    page = client.get(f"/saes/tiny/features/{query}").content.decode()
    return [int(i) for i in re.findall(r'<tr data-index="(\d+)"', page)]


def test_it_lists_every_computed_feature_by_number(client, sae, django_assert_num_queries):
    # 1 the SAE, 2 how many features, 3 those of this page, 4 what is kept about them, 5 comparisons with other SAEs,
    # 6 how many are starred
    with django_assert_num_queries(6) as queries:
        assert listed(client) == list(range(shown.COMPUTED))
    assert not [query for query in queries if "payload" in query["sql"] or "quantiles" in query["sql"]]


SORTS = ["index", *(column.name for column in COLUMNS)]


@pytest.mark.parametrize("sort", [*SORTS, *(f"-{name}" for name in SORTS)])
def test_it_sorts_by_every_column_both_ways(client, sae, sort):
    def value(feature):
        name = sort.removeprefix("-")
        if name == "peak":
            return feature.maximum / feature.mean if feature.mean else None
        if name == "description":
            return feature.described.line if hasattr(feature, "described") else None
        return getattr(feature, BY_NAME[name].attribute if name in BY_NAME else name)

    lines = {1: "on “b”", 2: "on “a”", 5: "on “a”"}
    rows = {feature.index: feature for feature in Feature.objects.filter(index__in=lines)}
    FeatureDescription.objects.bulk_create(FeatureDescription(feature=rows[i], line=line) for i, line in lines.items())
    features = sorted(Feature.objects.all(), key=lambda f: f.index)  # equals stay in this order
    having = [f for f in features if value(f) is not None]
    having.sort(key=value, reverse=sort.startswith("-"))
    assert listed(client, f"?sort={sort}") == [f.index for f in having + [f for f in features if f not in having]]


@pytest.mark.parametrize("sort", [*SORTS, *(f"-{name}" for name in SORTS), "label", "-label", "-grade"])
def test_previous_and_next_follow_the_list(client, sae, sort):
    Feature.objects.filter(index__in=[1, 2, 5]).update(density=0.25, maximum=1.0, top_token="same")  # ties
    order = listed(client, f"?sort={sort}&show=alive")
    assert len(order) == 7
    for at, index in list(enumerate(order))[::2]:  # between each two neighbours, from one of them
        data = client.get(f"/saes/tiny/features/{index}.json?sort={sort}&show=alive").json()
        assert (data["listed"]["number"], data["listed"]["total"]) == (at + 1, 7)
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


def test_exactly_this_token(client, sae):
    Feature.objects.filter(index=2).update(top_token=" we")
    Feature.objects.filter(index=6).update(top_token=" well")
    assert listed(client, "?q=+we") == [2, 6] and listed(client, "?q=+we&exact=yes") == [2]


def test_ranges_are_read_as_they_are_typed_and_shown_as_chips_that_go(client, sae):
    Feature.objects.exclude(index=3).update(density=0.5, maximum=2.0)
    Feature.objects.filter(index__in=[1, 2, 5]).update(density=0.005)
    Feature.objects.filter(index=5).update(maximum=1000.5)
    answer = client.get("/saes/tiny/features/?figure=density&from=0.1+%25&to=1%25&q=&by=fired&show=&columns=density")
    assert answer.url == "/saes/tiny/features/?range=density%3A0.001..0.01&columns=density"
    assert listed(client, "?range=density:0.001..0.01") == [1, 2, 5]
    both = "?range=density:0.001..0.01&range=peak:3.."
    assert listed(client, f"{both}&figure=maximum&from=1,000&to=") == []  # goes on to the address without a form
    assert listed(client, "?range=density:0.001..0.01&range=maximum:1000..") == [5]
    page = client.get(f"/saes/tiny/features/{both}").content.decode()
    assert "Density 0.1\u00a0% to 1\u00a0%" in page and "Max / mean from 3" in page
    assert 'href="?range=peak%3A3.."' in page and 'href="?range=density%3A0.001..0.01"' in page


@pytest.mark.parametrize("text", ["density:x..y", "density:..", "payload:1..2", "density", "density:nan..1e999"])
def test_a_range_that_says_nothing_is_none(client, sae, text):
    assert listed(client, f"?range={text}") == list(range(shown.COMPUTED))


def test_columns_are_chosen(client, sae):
    page = client.get("/saes/tiny/features/?columns=count,peak").content.decode()
    head = page[page.index("<thead>") : page.index("</thead>")]
    assert re.findall(r">([^<>]+)</a>", head) == ["Feature", "Fires on", "Max / mean", "Label", "Grade"]


def test_the_page_of_a_feature_says_which_list_it_follows(client, sae):
    data = client.get("/saes/tiny/features/4.json?range=count:1..&sort=-index").json()
    assert data["listed"]["words"] == "Fires on from 1, the last first"
    assert (data["listed"]["number"], data["listed"]["total"]) == (4, 7)
    assert data["listed"]["row"] == "/saes/tiny/features/?range=count%3A1..&sort=-index#f4"
    assert client.get("/saes/tiny/features/3.json?range=count:1..").json()["listed"]["number"] is None
    assert client.get("/saes/tiny/features/3.json").json()["listed"] is None


def test_the_list_as_files(client, sae):
    address = "/saes/tiny/features.{}?show=alive&sort=-density&columns=density,top_token"
    Feature.objects.filter(index=2).update(top_token="<b>,\n")
    order = listed(client, address.partition("{}")[2])
    answer = client.get(address.format("json"))
    told = json.loads(b"".join(answer.streaming_content))
    assert [row["feature"] for row in told["features"]] == order and told["sae"]["weights"] == sae.checkpoint_hash
    assert set(told["features"][0]) == {"feature", "density", "top_token", "label", "label_by", "star", "grade", "tags"}
    rows = csv.DictReader(io.StringIO(b"".join(client.get(address.format("csv")).streaming_content).decode()))
    densities = {int(row["feature"]): float(row["density"]) for row in rows}
    assert list(densities) == order and densities[2] == Feature.objects.get(index=2).density
    table = parquet.read_table(io.BytesIO(client.get(address.format("parquet")).content))
    assert table["feature"].to_pylist() == order and "<b>,\n" in table["top_token"].to_pylist()


def test_a_dead_feature_has_no_maximum_in_a_file(client, sae):
    told = json.loads(b"".join(client.get("/saes/tiny/features.json?only=3").streaming_content))
    assert told["features"][0]["maximum"] is None and told["features"][0]["density"] == 0


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
    features = FeatureList(
        show="alive",
        q="a&b ",
        by="boosted",
        exact=True,
        ranges=(Range.of("density", "0.1 %", "1%"), Range.of("maximum", "", "1,000")),
        star=True,
        labelled="no",
        grade="none",
        only=(1, 2),
        sort="-mean",
        columns=("density", "count"),
    )
    assert FeatureList.from_query(QueryDict(features.query()[1:])) == features
    assert FeatureList().query() == "" and FeatureList().is_plain
