"""Texts that have a property against texts that have not: asked of the model, on the page and in JSON."""

import numpy as np
import pytest
from django.test import Client

from features import runtime
from features.ask import by_examples
from features.ask.by_examples import texts_of

from .test_ask import text_of

PAGE = "/saes/tiny/ask/examples/"
HAVING, LACKING = "a <script>\nno script here\nscript\nthe script ends", "a print\nnothing\nprint(1)\nthe end"


@pytest.fixture
def model(asked, monkeypatch):
    """Feature 5 is as strong as there are tokens that hold "script"; feature 2 is always on."""
    sae = asked[0]

    def strongest(sae, ids):
        vocabulary = by_examples.vocabulary_of(sae)
        scores = np.zeros(sae.d_sae, np.float32)
        scores[[2, 5]] = 1, sum("script" in vocabulary.label(id) for id in ids)
        return scores

    monkeypatch.setattr(by_examples, "_strongest", strongest)
    return sae


def test_the_feature_that_tells_them_apart_comes_first(client, model):
    told = client.get(PAGE, {"having": HAVING, "lacking": LACKING, "format": "json"}).json()
    first, second = told["features"]
    assert (first["index"], first["held_out"], second["index"], second["held_out"]) == (5, 1, 2, 0.5)
    assert told["held_out"] == {"having": 2, "lacking": 2}
    page = client.post(PAGE, {"having": HAVING, "lacking": LACKING})
    assert "held out 2 against 2" in text_of(page) and b"<script>\nno script" not in page.content
    assert Client(enforce_csrf_checks=True).post(PAGE, {"having": HAVING, "lacking": LACKING}).status_code == 403
    assert f'href="{PAGE}"' in client.get("/saes/tiny/ask/").content.decode()


def test_what_cannot_be_asked_says_both_numbers_and_the_way_out(client, model, monkeypatch, settings):
    def refusal(having, lacking=LACKING):
        answer = client.get(PAGE, {"having": having, "lacking": lacking, "format": "json"})
        assert answer.status_code == 400
        assert answer.json()["error"] in text_of(client.post(PAGE, {"having": having, "lacking": lacking}))
        return answer.json()["error"]

    assert "There are 3 texts that have the property; 4 to 100 are read" in refusal("a\nb\nc")
    assert "There are 101 texts that have not" in refusal(HAVING, "a\n" * 101)
    assert client.get(PAGE, {"format": "json"}).status_code == 400
    assert "Text 4 of those that have the property has" in refusal("a\nb\nc\n" + "word " * 2000)
    monkeypatch.setattr(by_examples, "MOST_TOKENS", 10)
    assert "10 are read. Leave some out." in refusal(HAVING)
    settings.SAEVIZ_PROMPT_BYTES = 20
    assert "bytes; 20 are read" in refusal(HAVING)


def test_a_model_that_cannot_be_had_is_said(client, asked, monkeypatch):
    def fails(sae, ids):
        raise runtime.Unavailable("The weights are gone.")

    monkeypatch.setattr(by_examples, "_strongest", fails)
    answer = client.post(PAGE, {"having": HAVING, "lacking": LACKING})
    assert answer.status_code == 503 and "The weights are gone." in text_of(answer)


def test_texts_are_lines_or_what_stands_between_empty_lines():
    assert texts_of("a\n b\n") == ["a", " b"]
    assert texts_of("a\nb\n\n\nc\n") == ["a\nb", "c"]
