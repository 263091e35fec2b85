"""Does the search in the text of examples find what reading every example would, and say why where it cannot?"""

import random
from collections import Counter

import numpy as np
import pytest

from features.browse import example_search
from features.engine.model.vocabulary import CONTINUED, Vocabulary
from features.models import Feature, FeaturePayload
from features.storage import readers
from features.storage.payload import unpack_part

from .. import shown
from .test_feature_list import listed
from .test_pages import text_of

WORDS = ["the", "cat", "sat", "on", "a", "mat,", "then", "The", "dog", "Sat", "by", "日本", "and", "é", "the", "end.\n"]


@pytest.fixture(scope="module")
def vocabulary():
    return Vocabulary.load(shown.DEMO / "model")


@pytest.fixture
def sae(db, tmp_path):
    example_search._counts.cache_clear()
    example_search._search_index.cache_clear()
    return shown.shown_sae(tmp_path)


def read_one_by_one(examples, corpus, vocabulary, text):
    """The slow twin: feature -> examples with the text."""
    found = Counter()
    for feature, rows, positions in examples:
        for row, position in zip(rows.tolist(), positions.tolist(), strict=True):
            ids = corpus[row].tolist()
            pieces = [
                "" if id in vocabulary.special or piece == CONTINUED else piece
                for id, piece in zip(ids, vocabulary.pieces(ids), strict=True)
            ]
            if text.lower() in "".join(pieces[max(0, position - 10) : position + 9]).lower():
                found[feature] += 1
    return dict(sorted(found.items()))


@pytest.mark.parametrize("seed", range(5))
def test_it_finds_what_reading_every_example_finds(vocabulary, seed):
    rng, words = np.random.default_rng(seed), random.Random(seed)
    ids = vocabulary.ids(" ".join(words.choices(WORDS, k=900)), bos=False)
    corpus = np.array(ids[: len(ids) // 40 * 40], dtype=np.uint16).reshape(-1, 40)
    corpus[:, 0] = vocabulary.bos_id
    examples = [(feature, rng.integers(0, len(corpus), 3), rng.integers(1, 40, 3)) for feature in range(0, 60, 2)]
    index = example_search.SearchIndex.of(examples, corpus, vocabulary)
    for text in ("the", "cat sat", "on a mat, then the dog", "日本", "é the", ".\n", "bos", "zebra", " ", "the" * 40):
        assert index.count_examples_with(text) == read_one_by_one(examples, corpus, vocabulary, text), text


def test_nothing_is_found_where_there_are_no_examples(vocabulary):
    assert example_search.SearchIndex.of([], np.zeros((4, 8), np.uint16), vocabulary).count_examples_with("a") == {}


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
    assert list(example_search.count_examples_with(sae, "script")) == [0, 1, 2, 4, 5, 6, 7]
    row = Feature.objects.get(index=5)
    Feature.objects.get(index=6).delete()
    row.pk, row.index, row.count = None, 6, 0  # dead
    row.save()
    assert list(example_search.count_examples_with(sae, "script")) == [0, 1, 2, 4, 5, 7]


def test_a_second_search_reads_no_payload(sae, django_assert_num_queries):
    example_search.count_examples_with(sae, "script")
    with django_assert_num_queries(1):  # which rows are the newest
        example_search.count_examples_with(sae, "print")


def test_examples_whose_corpus_is_gone_say_so(client, sae, tmp_path):
    (tmp_path / "tiny.npy").unlink()
    readers._rows.cache_clear()
    read = text_of(client.get("/saes/tiny/features/?q=script&by=examples"))
    assert "The examples cannot be searched" in read and "tiny.npy" in read
    assert client.get("/saes/tiny/features/1.json?q=script&by=examples").status_code == 200


def test_a_payload_that_cannot_be_read_says_so(client, sae):
    FeaturePayload.objects.filter(feature__index=1).update(payload=b"\0old")
    assert "Recompute the statistics" in text_of(client.get("/saes/tiny/features/?q=script&by=examples"))


def test_every_group_of_examples_is_searched_and_a_token_that_stands_in_several_is_one_example(sae):
    examples = unpack_part(Feature.objects.get(index=0).payload, "examples")
    rows, positions = example_search._positions(examples)
    places = [
        place for group in examples.groups for place in zip(group.rows.tolist(), group.positions.tolist(), strict=True)
    ]
    found = list(zip(rows.tolist(), positions.tolist(), strict=True))
    assert sorted(found) == sorted(set(places)) and len(examples.top.rows) < len(found) < len(places)
