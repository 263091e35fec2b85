"""Does every page show statistics that an earlier version stored: before they are moved, in between, and afterwards?"""

import pytest
from django.db import connection

from features.models import Feature, FeatureFlag, FeaturePayload, FeatureQuerySet
from features.storage.catch_up import move_payloads
from features.storage.feature_rows import statistics_of
from prompts.stored_features import StoredFeatures
from tests import made_up
from tests.features import shown
from tests.features.storage.test_payload import assert_same

pytestmark = pytest.mark.django_db
LONGEST_ROW = 256  # bytes


def put_back():
    """Payloads in the rows of their features, as earlier versions stored them."""
    for stored in FeaturePayload.objects.all():
        old = {"old_payload": stored.payload, "old_quantiles": stored.quantiles}
        Feature.objects.filter(pk=stored.pk).update(**old)
    FeaturePayload.objects.all().delete()


@pytest.fixture
def sae(tmp_path):
    sae = shown.shown_sae(tmp_path)
    put_back()
    return sae


def pages(client):
    addresses = [f"{index}.json" for index in range(shown.D_SAE)]
    addresses += ["", "?sort=-density", "?q=script&by=examples", "?show=dead"]
    return [client.get(f"/saes/tiny/features/{address}").content for address in addresses]


def test_pages_show_the_same_before_during_and_after(client, sae, monkeypatch):
    monkeypatch.setattr(move_payloads, "BATCH", 3)
    features = [feature for feature in range(shown.COMPUTED) if feature != 3]
    seen = []
    while True:
        seen.append((pages(client), StoredFeatures(sae).quantiles(features, [0.5] * len(features)).tolist()))
        if not move_payloads.move_batch():
            break
    assert len(seen) == 4 and all(one == seen[0] for one in seen)
    assert not move_payloads.unmoved().exists()
    assert FeaturePayload.objects.count() == shown.COMPUTED


def test_a_move_that_is_interrupted_loses_nothing_and_goes_on(sae, monkeypatch):
    monkeypatch.setattr(move_payloads, "BATCH", 3)
    before = [statistics_of(row) for row in Feature.objects.all()]
    with monkeypatch.context() as interrupted:
        interrupted.setattr(FeatureQuerySet, "update", lambda *args, **to: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            move_payloads.move_batch()
    assert not FeaturePayload.objects.exists()
    assert (move_payloads.move_all(), move_payloads.move_all()) == (shown.COMPUTED, 0)
    for row, statistics in zip(Feature.objects.all(), before, strict=True):
        assert_same(statistics_of(row), statistics)


def test_no_page_needs_another_query_while_payloads_move(client, sae, django_assert_num_queries):
    # 1 the SAE with its statistics and corpus, 2 the feature and what is stored of it, 3 those it links to,
    # 4 what is claimed of it
    for _ in "before", "after":
        with django_assert_num_queries(4):
            assert client.get("/saes/tiny/features/0.json").json()["sequences"]["top"]
        move_payloads.move_all()


def test_a_set_of_statistics_goes_whole_moved_or_not(sae, tmp_path, monkeypatch):
    monkeypatch.setattr(move_payloads, "BATCH", 3)
    move_payloads.move_batch()
    shown.store(sae, made_up.Collected())
    assert (Feature.objects.count(), FeaturePayload.objects.count()) == (8, 8)


def width(row):
    """Bytes of a row's values: eight of a number, a text in UTF-8."""
    return sum(len(value.encode()) if isinstance(value, str) else 8 for value in row)


def test_rows_that_are_sorted_are_narrow(tmp_path, monkeypatch):
    sae = shown.bare_sae(tmp_path)
    vocabulary = "features.engine.model.vocabulary.Vocabulary.label"
    monkeypatch.setattr(vocabulary, lambda self, token: "日本" * 60)  # longer than any token, as two of each row
    shown.store(sae, shown.Collected(size=shown.COMPUTED))
    columns = {field.column for field in Feature._meta.fields} - {"payload", "quantiles"}
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(map(connection.ops.quote_name, columns))} FROM features_feature")
        rows = cursor.fetchall()
        assert {width(row) <= LONGEST_ROW for row in rows} == {True}
        assert any(value == "日本" * 7 + "日…" for row in rows for value in row)  # cut, and seen to be
        cursor.execute("SELECT max(length(payload) + length(quantiles)) FROM features_feature")
        assert cursor.fetchone() == (0,)


def test_a_flag_is_told_from_the_others(sae):
    features = Feature.objects.filter(index__lt=4)
    features.update(flags=FeatureFlag.SWARM)
    features.filter(index=1).update(flags=FeatureFlag.SWARM | FeatureFlag.NO_SIMPLE_PATTERN)
    features.filter(index=2).update(flags=0)
    assert [row.flags for row in Feature.objects.all()][:5] == [1, 5, 0, 1, None]
    assert [row.index for row in Feature.objects.all().flagged(FeatureFlag.SWARM)] == [0, 1, 3]
    assert Feature.objects.get(index=1).has(FeatureFlag.NO_SIMPLE_PATTERN)
    assert not Feature.objects.get(index=4).has(FeatureFlag.SWARM)
