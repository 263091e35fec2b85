"""The dict of a feature's page says what the engine found, and nothing that JSON cannot carry."""

import json
import math
import re

import numpy as np
import pytest
import torch

from features.browse import feature_json
from features.browse.feature_json import numbers, rounded
from features.browse.feature_page import feature_page, missing_page
from features.engine import reference
from features.engine.activity.quantiles import quantile
from features.engine.results import Correlates
from features.models import Feature
from features.storage.feature_rows import statistics_of
from features.storage.readers import rows_of, vocabulary_of

from .. import shown


@pytest.fixture
def sae(db, tmp_path):
    return shown.shown_sae(tmp_path)


def page_of(sae, index=0):
    row = Feature.objects.shown_of(sae).get(index=index)
    return row, statistics_of(row), feature_page(sae, row, None, 1, context="whole")


def sequences_of(data):
    found = data["sequences"]
    return [
        *found["top"],
        *found["random"],
        *(s for interval in found["intervals"] for s in interval["sequences"]),
    ]


def close(one, other):
    return one == other == 0 or math.isclose(one, other, rel_tol=1e-4)


def test_every_active_token_carries_the_numbers_the_engine_stored(sae):
    row, feature, data = page_of(sae)
    at = {
        (int(r), int(feature.shown.positions[e])): e
        for n, r in enumerate(feature.shown.rows)
        for e in range(feature.shown.starts[n], feature.shown.starts[n + 1])
    }
    seen = 0
    for sequence in sequences_of(data):
        for entry in sequence["active"]:
            e = at[sequence["row"], entry["position"]]
            activation = feature.shown.activations[e]
            assert close(entry["activation"], activation)
            expected = quantile(feature.activity.quantiles, row.count, row.tokens, activation)
            assert entry["quantile"] == pytest.approx(float(expected), abs=1e-9)
            loss, effect = float(feature.shown.losses[e]), float(feature.shown.loss_effects[e])
            with_it, without = map(float, reference.probabilities(*torch.tensor([loss, effect], dtype=torch.float64)))
            assert close(entry["probability"], with_it)
            if math.isnan(effect):
                assert entry["loss_effect"] is None
                assert entry["probability_without"] is None
            else:
                assert close(entry["loss_effect"], effect)
                assert close(entry["probability_without"], without)
            seen += 1
    assert seen > 100


def test_a_sequence_shows_the_corpus_row_with_the_chosen_token_active(sae):
    _, feature, data = page_of(sae)
    text, top = rows_of(sae.statistics.corpus), feature.examples.top
    for sequence, row, position in zip(data["sequences"]["top"], top.rows, top.positions, strict=True):
        assert sequence["ids"] == text[row].tolist()
        assert sequence["tokens"] == vocabulary_of(sae).pieces(text[row].tolist())
        assert sequence["position"] == position
        assert position in [entry["position"] for entry in sequence["active"]]
        assert sequence["special"] == [0]


def test_what_is_sent_first_are_windows_that_agree_with_the_whole_rows(sae):
    row, _, whole = page_of(sae)
    first = feature_page(sae, row, None, 1)
    assert len(json.dumps(first["sequences"])) < len(json.dumps(whole["sequences"]))
    assert first["largest_effect"] == whole["largest_effect"]  # underlines keep their scale
    for window, sequence in zip(sequences_of(first), sequences_of(whole), strict=True):
        start, stop = window["start"], window["start"] + len(window["tokens"])
        assert start == max(0, sequence["position"] - 10) and stop == min(
            len(sequence["tokens"]), sequence["position"] + 9
        )
        assert (window["tokens"], window["ids"]) == (sequence["tokens"][start:stop], sequence["ids"][start:stop])
        within = [entry for entry in sequence["active"] if start - 1 <= entry["position"] < stop]
        for short, entry in zip(window["active"], within, strict=True):
            assert short["position"] == entry["position"] - start
            for name in ("activation", "quantile", "loss_effect", "logit_effect"):
                assert short[name] == entry[name]
            assert close(math.exp(-short["loss"]), entry["probability"])  # the page makes it of that


def test_features_that_the_slider_passes_come_together_and_light(client, sae):
    whole = client.get("/saes/tiny/features/0.json")
    answer = client.get("/saes/tiny/features/passing.json?of=3,0,11,99,x," + "9" * 5000)
    dead, alive, bare = answer.json()["features"]
    assert dead["dead"] and bare == {"index": 11, "missing": True, "passing": True}
    for name in ("index", "density", "maximum", "largest_effect"):
        assert alive[name] == whole.json()[name]
    for line, full in zip(alive["sequences"]["top"], whole.json()["sequences"]["top"][:10], strict=True):
        assert line | {"active": 0} == {name: full[name] for name in line} | {"active": 0}
        for drawn, entry in zip(line["active"], full["active"], strict=True):
            assert drawn == {name: entry[name] for name in ("position", "activation", "loss_effect")}
    assert len(answer.content) < len(whole.content) / 4


def test_a_link_to_a_feature_is_shown_elsewhere_with_what_it_is(client, sae):
    row = page_of(sae)[0]
    page = client.get("/saes/tiny/features/0/").content.decode()
    said = f"active on {row.count:,} of {row.tokens:,} tokens, at most "
    assert re.search(r'<meta name="description" property="og:description" content="[^"]*' + said, page)
    bare = client.get("/saes/tiny/features/11/").content.decode()
    assert 'property="og:description" content="No figures yet"' in bare


@pytest.mark.parametrize("index", [0, 3], ids=["alive", "dead"])
def test_json_can_carry_it(sae, index):
    _, _, data = page_of(sae, index)
    assert json.loads(json.dumps(data, allow_nan=False)) == json.loads(json.dumps(data))


def test_a_dead_feature_has_no_histogram_and_no_sequences(sae):
    _, _, data = page_of(sae, 3)
    assert data["dead"] and data["activation_histogram"] is None
    assert data["sequences"] == {"top": [], "random": [], "intervals": []}
    assert data["logits"]["positive"]  # what it would write is known all the same


def test_interval_shares_are_of_all_counted_tokens(sae):
    row, feature, data = page_of(sae)
    shares = [interval["share"] for interval in data["sequences"]["intervals"]]
    assert shares == [interval.count / row.tokens for interval in feature.examples.intervals]


def test_links_carry_the_figures_of_the_features_they_lead_to(sae):
    row = Feature.objects.shown_of(sae).get(index=0)
    asked = []
    feature_page(sae, row, None, 1, previews=lambda of, indices: asked.extend(indices) or {})
    assert asked == [1, 2, 3, 4, 5, 6, 7]


def test_a_logit_beyond_the_tokenizer_is_shown_as_its_number(sae, monkeypatch):
    monkeypatch.setattr(vocabulary_of(sae), "size", 5)
    _, _, data = page_of(sae)
    beyond = [entry for entry in data["logits"]["positive"] if entry["token"] >= 5]
    assert beyond and all(entry["text"] == f"[{entry['token']}]" for entry in beyond)


def test_a_missing_feature_still_says_where_it_is(sae):
    data = missing_page(sae, 9, 8, 10)
    assert data["missing"] and (data["previous"], data["index"], data["next"]) == (8, 9, 10)
    assert data["sae"]["slug"] == "tiny"


def test_every_special_token_of_a_row_is_told(sae):
    vocabulary = vocabulary_of(sae)
    end = sorted(vocabulary.special - {vocabulary.bos_id})[0]
    rows = np.array([[vocabulary.bos_id, 300, end, 301]])
    assert feature_json.CorpusText(vocabulary, rows)[0][2] == [0, 2]


def test_the_low_end_of_correlations_is_marked():
    def listed(n):
        columns = [np.linspace(0.9, -0.3, n, dtype=np.float32)] * 2
        found = feature_json.correlates("neuron", Correlates(np.arange(n), *columns, np.zeros(0)))
        return [record["lowest"] for record in found]

    assert listed(10) == [False] * 7 + [True] * 3
    assert listed(4) == [False] * 4  # however low: they are the highest there are


def test_rounding_keeps_five_digits_of_any_size():
    assert rounded([123456.0, 0.000123456, -1.23456789, 0.0]).tolist() == [123460.0, 0.00012346, -1.2346, 0.0]
    assert numbers(np.array([np.nan, np.inf, 1.5], np.float32)) == [None, None, 1.5]
    assert numbers(np.array([3, 2**40])) == [3, 2**40]
