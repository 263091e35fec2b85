"""The page that asks which features go with a pattern, and its JSON, by what a person reads on them."""

import html
import json
import re
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest

from features import runtime
from features.analysis.descriptions import describe
from features.ask import question
from features.engine.ask import near_misses
from features.models import FeatureDescription, Judgement, KeptActivations, Statistics
from features.patterns import held
from features.storage.kept_activations import kept_of
from features.storage.readers import rows_of, vocabulary_of

from .conftest import DEAD, PRINT, SCRIPT, with_kept

PAGE, JSON = "/saes/tiny/ask/", "/saes/tiny/ask.json"


def text_of(response):
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", response.content.decode())).split())


def test_the_answer_is_that_of_the_activations(client, asked):
    sae, dense, text, labels = asked
    about = {"weights": sae.checkpoint_hash, "width": sae.d_sae, "index": SCRIPT}
    Judgement.objects.create(**about, author="ann", label="tags")
    found = client.get(JSON, {"q": "token(/script/)"}).json()
    assert found["features"][0]["label"] == "tags"
    held = np.char.find(labels, "script") >= 0
    assert (found["held"], found["population"]["tokens"]) == (held.sum(), text.counted.sum())
    best = found["features"][0]
    active = dense[:, SCRIPT] != 0
    hits = (active & held).sum()
    assert (best["index"], best["active"], best["hits"]) == (SCRIPT, active.sum(), hits)
    assert best["f1"] == pytest.approx(2 * hits / (active.sum() + held.sum()), rel=1e-4)
    assert best["precision_interval"][0] < best["precision"] < best["precision_interval"][1]
    assert found["ranked"] == 11 and DEAD not in [feature["index"] for feature in found["features"]]
    read = found["feature"]
    assert read["counts"] == {
        "hits": hits,
        "misses": (held & ~active).sum(),
        "false_alarms": (active & ~held).sum(),
    }
    for kind, is_active, holds in (("hits", True, True), ("misses", False, True), ("false_alarms", True, False)):
        assert 0 < len(read[kind]) <= 10
        for line in read[kind]:
            token = line["row"] * text.width + line["position"] - 1
            assert (bool(dense[token, SCRIPT]), bool(held[token])) == (is_active, holds)
            assert ("script" in line["tokens"][line["position"]]) == holds
            values = {entry["position"]: entry["activation"] for entry in line["active"]}
            row = dense[line["row"] * text.width : (line["row"] + 1) * text.width, SCRIPT]
            assert values == {p + 1: pytest.approx(row[p], rel=1e-4) for p in np.flatnonzero(row)}


def test_the_page_says_it_in_words_and_a_second_question_reads_no_text_anew(client, asked, monkeypatch):
    page = client.get(PAGE, {"q": "print"})
    told = text_of(page)
    assert re.search(r"The pattern holds on \d+ of 960 tokens of Made-up <b>corpus</b>", told)
    assert "11 active features ranked" in told
    assert f"What feature #{PRINT} hits, misses and fires on besides" in told
    assert b"<b>corpus</b>" not in page.content  # text of the corpus' maker is no markup
    monkeypatch.setattr(held, "row_texts", None)
    other = client.get(PAGE, {"q": "print or zebra", "feature": SCRIPT, "by": "lift", "from": "q0.5"})
    assert f"What feature #{SCRIPT} hits" in text_of(other) and "by the lower end of the interval" in text_of(other)


def test_the_page_without_a_pattern_says_what_can_be_asked_and_other_pages_lead_there(client, asked):
    told = text_of(client.get(PAGE))
    assert "What can be asked?" in told and 'token(" I") and after(",")' in told
    assert f'href="{PAGE}"' in client.get("/saes/tiny/").content.decode()
    assert f'action="{PAGE}"' in client.get("/saes/tiny/features/").content.decode()


def test_what_cannot_be_asked_is_said_and_an_error_points_at_its_place(client, asked):
    for query, said in (
        ({"q": "a and (b"}, "The bracket that opens here is not closed. (at character 7)"),
        ({"q": "/(/"}, "RE2 cannot read this expression"),
        ({"q": "kind(code)"}, "does not know what kinds of documents"),
        ({"q": "script", "from": "much"}, "'much' is no threshold of activations"),
        ({"q": "script", "feature": "12"}, "There is no feature 12; they go from 0 to 11."),
    ):
        for answer in (client.get(JSON, query), client.get(PAGE, query)):
            assert answer.status_code == 400 and said in (text_of(answer).replace("\\u2019", "’"))
    assert client.get(JSON, {"q": "a and (b"}).json()["at"] == 6
    assert "a and (b\n      ^" in html.unescape(client.get(PAGE, {"q": "a and (b"}).content.decode())
    assert client.get(JSON).status_code == 400


def test_a_pattern_that_holds_nowhere_or_everywhere_is_a_sentence(client, asked):
    for query, said in (
        ({"q": "zebra"}, "holds on 0 of 960 tokens"),
        ({"q": "not zebra"}, "holds on 960 of 960 tokens"),
        ({"q": "print", "from": "1000"}, "No feature is as active as that."),
    ):
        assert said in text_of(client.get(PAGE, query))
        assert client.get(JSON, query).json()["features"] == []


def test_without_kept_activations_the_page_says_why_and_the_others_work(client, asked):
    KeptActivations.objects.update(manifest="", why_not="They were freed. Recompute to have them again.")
    page = client.get(PAGE)
    assert page.status_code == 200 and "No activations are kept. They were freed." in text_of(page)
    assert client.get(JSON, {"q": "print"}).status_code == 404
    assert client.get("/saes/tiny/features/0/").status_code == client.get("/saes/tiny/features/").status_code == 200


def test_another_tokenizer_than_the_statistics_had_is_noticed(client, asked):
    Statistics.objects.update(tokens=961)
    assert "another tokens (960, now 961)" in client.get(JSON, {"q": "print"}).json()["error"]


def test_on_a_long_text_progress_is_told_and_who_hangs_up_stops_it(client, asked, monkeypatch):
    from features.engine.ask import row_text

    monkeypatch.setattr(row_text, "BLOCK_TOKENS", 300)
    held._in_memory.clear()
    assert "ask.progress" not in client.get(PAGE).content.decode()
    monkeypatch.setattr(question, "LONG", 900)
    assert 'data-progress="/saes/tiny/ask.progress"' in client.get(PAGE).content.decode()
    told = client.get("/saes/tiny/ask.progress", {"q": "print and not zebra"})
    lines = iter(told.streaming_content)
    first = json.loads(next(lines))
    assert first["total"] == 960 and 0 < first["done"] < 960
    told.close()  # who asked has gone
    assert not any("print and not zebra" in key for key in held._found)
    lines = b"".join(client.get("/saes/tiny/ask.progress", {"q": "print and not zebra"}).streaming_content).splitlines()
    assert [json.loads(line) for line in lines[-2:]] == [{"done": 960, "total": 960}, {"ready": True}]
    monkeypatch.setattr(held, "row_texts", None)
    assert client.get(JSON, {"q": "print and not zebra"}).json()["held"] > 0
    (line,) = client.get("/saes/tiny/ask.progress", {"q": "a and ("}).streaming_content
    assert "at character 8" in json.loads(line)["error"]


def test_who_fired_instead_stands_by_the_misses(client, asked):
    sae, dense, text, labels = asked
    held = np.char.find(labels, "script") >= 0
    read = client.get(JSON, {"q": "token(/script/)", "feature": PRINT}).json()["feature"]
    (first, *_) = read["instead"]
    missed = held & (dense[:, PRINT] == 0)
    hits = (missed & (dense[:, SCRIPT] != 0)).sum()
    assert (first["feature"], first["hits"]) == (SCRIPT, hits)
    assert first["share"] == pytest.approx(hits / missed.sum(), rel=1e-4)
    assert first["lift"] == pytest.approx(first["share"] / (dense[text.counted, SCRIPT] != 0).mean(), rel=1e-4)
    assert first["decoder_cosine"] is not None  # one of the made-up neighbours


def test_how_near_it_was_is_told_by_a_model_that_is_loaded(client, asked, monkeypatch):
    sae, *_ = asked
    near = "/saes/tiny/ask/near.json"
    query = {"q": "token(/script/)", "feature": SCRIPT, "others": f"{PRINT},99"}
    cold = client.get(near, query)
    assert cold.status_code == 409 and cold.json()["cold"]
    monkeypatch.setattr(runtime, "_subject", lambda sae: "a subject")
    monkeypatch.setattr(runtime, "_first_forward", lambda subject: None)
    monkeypatch.setattr(
        near_misses, "near_misses", lambda subject, ids, positions, feature: (positions - 20.0, positions * 0 + 0.25)
    )
    monkeypatch.setattr(near_misses, "decoder_cosines", lambda sae, feature, others: np.full(len(others), np.nan))
    monkeypatch.setattr(runtime, "loaded", contextmanager(lambda sae: iter([SimpleNamespace(sae=None)])))
    told = client.get(near, query | {"load": 1}).json()
    misses = client.get(JSON, query).json()["feature"]["misses"]
    assert [(miss["row"], miss["position"]) for miss in told["misses"]] == [(m["row"], m["position"]) for m in misses]
    assert {miss["bar"] for miss in told["misses"]} == {0.25} and told["cosines"] == {str(PRINT): None}
    assert client.get(near, query | {"load": 1, "feature": 12}).status_code == 400
    KeptActivations.objects.update(manifest="", why_not="They were freed.")
    assert "They were freed." in client.get(near, query | {"load": 1}).json()["error"]


def test_a_pattern_is_drawn_on_the_examples_of_a_feature(client, asked):
    sae, dense, text, labels = asked
    address = f"/saes/tiny/features/{SCRIPT}/explained.json"
    held = np.char.find(labels, "script") >= 0
    told = client.get(address, {"q": "token(/script/)"}).json()
    sequences = client.get(f"/saes/tiny/features/{SCRIPT}.json").json()["sequences"]
    assert {str(line["row"]) for line in sequences["top"] + sequences["random"]} <= set(told["holds"])
    for row, positions in told["holds"].items():
        part = held[int(row) * text.width : (int(row) + 1) * text.width]
        assert positions == (np.flatnonzero(part) + 1).tolist()
    active = dense[:, SCRIPT] != 0
    assert (told["scores"]["hits"], told["scores"]["active"]) == ((active & held).sum(), active.sum())
    KeptActivations.objects.update(manifest="", why_not="They were freed.")
    freed = client.get(address, {"q": "token(/script/)"}).json()
    assert freed["holds"] == told["holds"] and freed["scores"] is None and "They were freed." in freed["why_no_scores"]
    assert client.get(address, {"q": "a and (b"}).json()["at"] == 6
    assert client.get(f"/saes/tiny/features/{DEAD}/explained.json", {"q": "print"}).json()["holds"] == {}
    assert client.get("/saes/tiny/features/99/explained.json", {"q": "print"}).status_code == 404


def test_positions_that_a_corpus_skips_are_not_asked_and_all_others_are_where_they_were(db, tmp_path, client):
    sae, dense, text, labels = with_kept(tmp_path, skipped=2)
    found = client.get(JSON, {"q": 'token(" print")', "feature": PRINT}).json()
    active = int((dense[:, PRINT] != 0).sum())
    assert found["features"][0]["hits"] == active and found["population"]["tokens"] == len(text) < 900
    for line in found["feature"]["hits"]:
        assert line["position"] >= 3 and line["tokens"][line["position"]] == " print"
    assert client.get(JSON, {"q": "position(0..2)"}).json()["held"] == 0
    told = describe(sae.statistics, kept_of(sae), rows_of(sae.corpus), vocabulary_of(sae))
    assert told["looked_at"] > 5 and FeatureDescription.objects.get(feature__index=PRINT).pattern == 'token(" print")'
    drawn = client.get(f"/saes/tiny/features/{PRINT}/explained.json", {"q": 'token(" print")'}).json()
    assert drawn["scores"]["hits"] == active
    rows = rows_of(sae.corpus)
    vocabulary = vocabulary_of(sae)
    for row, positions in drawn["holds"].items():
        assert positions == [p for p in range(3, rows.shape[1]) if vocabulary.label(rows[int(row), p]) == " print"]
