"""Does the search in the text of examples find what reading every example would, and say why where it cannot?"""

from collections import Counter

import numpy as np
import pytest

from features.models import Corpus, Feature, FeatureExamples, FeaturePayload
from features.patterns import held
from features.patterns.examples import count_examples_with
from features.storage import example_tokens, readers
from features.storage.feature_rows import statistics_of
from features.storage.payload import unpack_part
from features.storage.readers import rows_of, vocabulary_of

from .. import shown
from .test_feature_list import listed
from .test_pages import text_of


@pytest.fixture
def sae(db, tmp_path):
    held.forget()
    return shown.shown_sae(tmp_path)


def read_one_by_one(sae, text):
    """The slow twin: feature -> examples whose context holds the text."""
    found, rows, vocabulary = Counter(), rows_of(sae.corpus), vocabulary_of(sae)
    for feature in Feature.objects.all():
        groups = statistics_of(feature).examples.groups
        for row, position in {pair for group in groups for pair in zip(group.rows, group.positions, strict=True)}:
            # Bytes of each token; a special one has none.
            pieces = [b"" if id in vocabulary.special else vocabulary.bytes_of(id) for id in rows[row].tolist()]
            ends = np.cumsum([len(piece) for piece in pieces])
            whole, wanted, at = b"".join(pieces).lower(), text.lower().encode(), -1
            while (at := whole.find(wanted, at + 1)) >= 0:
                first, last = np.searchsorted(ends, [at, at + len(wanted) - 1], side="right")
                if position - 10 <= first and last <= position + 8:
                    found[feature.index] += 1
                    break
    return dict(sorted(found.items()))


@pytest.mark.parametrize(
    "text", ["script", "print(", "é 日", "\n\tTAB if", "bos", "zebra", " ", ".stung", "a" * 99, "/i or a"]
)
def test_it_finds_what_reading_every_example_finds(sae, text):
    assert count_examples_with(sae, text) == read_one_by_one(sae, text)


def test_the_table_searches_the_text_of_examples(client, sae):
    assert sorted(listed(client, "?q=SCRIPT&by=examples")) == [0, 1, 2, 4, 5, 6, 7]  # 3 is dead
    assert listed(client, "?q=no+such+words&by=examples") == []
    page = client.get("/saes/tiny/features/?q=no+such+words&by=examples")
    assert "10 tokens before and 8 after each stored example" in text_of(page)
    assert '<option value="examples" selected>' in page.content.decode()


@pytest.fixture
def found(monkeypatch):
    """Examples with "word", feature by feature."""
    counts = {1: 2, 4: 9, 5: 2, 6: 30, 7: 1}
    monkeypatch.setattr(
        "features.browse.list_rows.count_examples_with", lambda sae, text: counts if text == "word" else {}
    )


SEARCH = "?q=word&by=examples"


def test_features_with_the_most_examples_of_it_come_first(client, sae, found, monkeypatch):
    assert listed(client, SEARCH) == [6, 4, 1, 5, 7]
    assert listed(client, f"{SEARCH}&sort=found") == [7, 1, 5, 4, 6]
    assert listed(client, f"{SEARCH}&sort=index") == [1, 4, 5, 6, 7]
    assert listed(client, f"{SEARCH}&only=7,6,2") == [6, 7]
    assert "#6 30" in text_of(client.get(f"/saes/tiny/features/{SEARCH}"))
    monkeypatch.setattr("features.browse.views.PER_PAGE", 2)
    assert listed(client, f"{SEARCH}&page=2") == [1, 5]


@pytest.mark.parametrize("sort", ["", "&sort=found", "&sort=index", "&sort=-density"])
def test_previous_and_next_follow_what_was_found(client, sae, found, sort):
    order = listed(client, SEARCH + sort)
    assert sorted(order) == [1, 4, 5, 6, 7]
    for at, index in enumerate(order):
        data = client.get(f"/saes/tiny/features/{index}.json{SEARCH}{sort}").json()
        assert data["previous"] == (order[at - 1] if at else None)
        assert data["next"] == (order[at + 1] if at + 1 < len(order) else None)


def test_a_feature_without_the_text_leads_into_the_list(client, sae, found):
    data = client.get(f"/saes/tiny/features/2.json{SEARCH}").json()
    assert (data["previous"], data["next"]) == (7, None)  # it would be the last, with no example


def test_examples_are_no_sort_of_other_searches(client, sae):
    assert listed(client, "?sort=found") == list(range(shown.COMPUTED))


def test_a_recomputation_is_searched_anew(sae):
    assert list(count_examples_with(sae, "script")) == [0, 1, 2, 4, 5, 6, 7]
    Feature.objects.get(index=6).delete()
    assert list(count_examples_with(sae, "script")) == [0, 1, 2, 4, 5, 7]


def test_no_search_reads_a_payload_and_a_page_asks_once(
    client, sae, django_assert_num_queries, django_assert_max_num_queries
):
    count_examples_with(sae, "script")
    # 1 the tokens of all examples, 2 payloads of features that have none of them yet
    with django_assert_num_queries(2) as queries:
        count_examples_with(sae, "print")
    with django_assert_max_num_queries(9) as queries:
        client.get("/saes/tiny/features/?q=script&by=examples")
    assert sum("featureexamples" in query["sql"] for query in queries.captured_queries) == 2


def test_statistics_of_earlier_versions_are_searched_before_they_are_filled_and_after(sae, monkeypatch):
    monkeypatch.setattr(example_tokens, "BATCH", 3)
    FeatureExamples.objects.all().delete()
    seen = []
    while True:
        seen.append(count_examples_with(sae, "script"))
        if not example_tokens.fill_batch():
            break
    assert len(seen) == 4 and all(one == seen[0] != {} for one in seen)
    assert not example_tokens.unfilled().exists()
    example_tokens.fill_all()  # nothing is left


def test_examples_whose_corpus_is_gone_say_so(client, sae, tmp_path):
    (tmp_path / "tiny.npy").unlink()
    readers._rows.cache_clear()
    read = text_of(client.get("/saes/tiny/features/?q=script&by=examples"))
    assert "The examples cannot be searched" in read and "tiny.npy" in read
    assert client.get("/saes/tiny/features/1.json?q=script&by=examples").status_code == 200
    file = client.get("/saes/tiny/features.csv?q=script&by=examples")
    assert file.status_code == 409 and "The examples cannot be searched" in file.json()["error"]


def test_a_payload_that_cannot_be_read_says_so_and_the_others_are_filled(client, sae):
    FeatureExamples.objects.all().delete()
    FeaturePayload.objects.filter(feature__index=1).update(payload=b"\0old")
    assert "Recompute the statistics" in text_of(client.get("/saes/tiny/features/?q=script&by=examples"))
    example_tokens.fill_all()
    assert list(example_tokens.unfilled().values_list("index", flat=True)) == [1]


def test_every_group_of_examples_is_searched_and_a_token_that_stands_in_several_is_one_example(sae):
    examples = unpack_part(Feature.objects.get(index=0).payload, "examples")
    corpus = Corpus.objects.get()
    tokens = example_tokens.tokens_of(examples, corpus)
    width = corpus.row_length - 1
    places = [
        row * width + position - 1
        for group in examples.groups
        for row, position in zip(group.rows.tolist(), group.positions.tolist(), strict=True)
    ]
    assert tokens.tolist() == sorted(set(places)) and len(examples.top.rows) < len(tokens) < len(places)
