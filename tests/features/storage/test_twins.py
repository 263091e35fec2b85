"""Are features that are nearly the same one found, grouped and said, in statistics of today and of before?"""

from dataclasses import replace

import numpy as np
import pytest

from features.engine.results import Neighbours
from features.models import SAE, Feature, FeatureSearch, Statistics
from features.storage import twins

from .. import shown
from ..browse.test_feature_list import listed
from ..browse.test_pages import text_of

LINKS = {0: (2, 0.95), 2: (5, 0.91), 1: (4, 0.89)}  # feature -> its nearest, and their cosine


class Alike(shown.Collected):
    """0, 2 and 5 hang together; 1 and 4 nearly."""

    def features(self):
        for feature in super().features():
            if feature.index in LINKS:
                nearest, cosine = LINKS[feature.index]
                near = Neighbours(np.array([nearest], np.int32), np.array([cosine], np.float32))
                feature = replace(feature, relatives=replace(feature.relatives, neighbours=near))
            yield feature


@pytest.fixture
def sae(db, tmp_path):
    sae = shown.bare_sae(tmp_path)
    twins.group(shown.store(sae, Alike(size=shown.COMPUTED)))
    return SAE.objects.for_pages().get(pk=sae.pk)


def state():
    columns = ("index", "nearest_cosine", "strongest_correlation", "twin_of", "twins")
    packed = FeatureSearch.objects.order_by("feature__index").values_list("boosted", "suppressed", "twins")
    return list(Feature.objects.values_list(*columns)), list(packed)


def test_linked_features_are_one_group_and_others_none(client, sae):
    groups = {index: (first, count) for index, _, _, first, count in state()[0] if count}
    assert groups == {0: (0, 3), 2: (0, 3), 5: (0, 3)}
    assert client.get("/saes/tiny/features/5.json").json()["twins"] == {"count": 3, "first": 0}
    assert client.get("/saes/tiny/features/1.json").json()["twins"] is None
    assert "1 of 3 alike" in text_of(client.get("/saes/tiny/features/"))
    assert listed(client, "?twin=0") == [0, 2, 5] and listed(client, "?show=twin") == [0, 2, 5]
    assert listed(client, "?show=each") == [0, 1, 3, 4, 6, 7] and listed(client, "?range=nearest:0.9..") == [0, 2]


def test_random_skips_all_but_one_of_them(client, sae):
    met = {client.get("/saes/tiny/features/random/").url for _ in range(40)}
    assert not met & {f"/saes/tiny/features/{index}/" for index in (2, 5)} and len(met) > 2


def test_what_earlier_versions_wrote_is_indexed_by_a_worker_alike(client, sae, monkeypatch):
    monkeypatch.setattr(twins, "BATCH", 3)
    before = state()
    FeatureSearch.objects.all().delete()
    Feature.objects.update(nearest_cosine=None, strongest_correlation=None, twin_of=None, twins=0)
    Statistics.objects.update(grouped=False)
    said = text_of(client.get("/saes/tiny/features/?q=a&by=boosts"))
    assert "The ten tokens cannot be searched: these statistics are of an earlier version" in said
    assert twins.ungrouped().exists()
    twins._index_batch(Statistics.objects.get())  # and the worker is killed
    twins.group_all()
    assert state() == before and not twins.ungrouped().exists()


def test_a_chain_and_a_ring_are_one_group_each():
    links = [(9, [8]), (8, [7]), (1, [2]), (2, [3]), (3, [1]), (5, [5])]
    found = twins.groups_of([(index, np.array(others)) for index, others in links])
    assert found == [[1, 2, 3], [7, 8, 9]]


def test_correlations_of_features_that_hardly_fire_link_nothing(sae):
    row = Feature.objects.get(index=1)
    correlated = shown.relatives_of(next(f for f in shown.Collected(size=2).features() if f.index == 1))
    high = replace(correlated.correlated_features, pearson=np.full(7, 0.95, np.float32))
    relatives = replace(correlated, correlated_features=high)
    logits = next(iter(shown.Collected(size=1).features())).logits
    for count, linked in ((19, 0), (20, 7)):
        row.count = count
        assert len(FeatureSearch.ids(twins.search_of(row, relatives, logits).twins)) == linked


def test_search_among_the_ten_tokens_at_either_end_with_the_rank(client, sae):
    boosted = {row.feature.index: FeatureSearch.ids(bytes(row.boosted)) for row in FeatureSearch.objects.all()}
    tokens = client.get("/saes/tiny/features/1.json").json()["logits"]
    third = tokens["positive"][2]["text"]
    page = client.get("/saes/tiny/features/", {"q": third, "by": "boosts", "exact": "yes"}).content.decode()
    wanted = [index for index, ids in boosted.items() if tokens["positive"][2]["token"] in ids]
    assert sorted(listed(client, f"?q={third}&by=boosts&exact=yes")) == sorted(wanted) and 1 in wanted
    assert '<td class="number">3</td>' in page and ">Rank<" in page
    lowest = tokens["negative"][0]["text"]
    data = client.get("/saes/tiny/features/1.json", {"q": lowest, "by": "suppresses", "exact": "yes"}).json()
    assert data["listed"]["number"] and "it suppresses most" in data["listed"]["words"]
    assert listed(client, "?q=%25%27--&by=boosts") == []
