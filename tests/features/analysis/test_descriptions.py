"""Every feature is described by its kept activations; the line stands on its page, in table, files and searches."""

import json
from urllib.parse import urlencode

import numpy as np
import pytest

from features.analysis import steps
from features.jobs import leases, worker
from features.models import Analysis, Feature, FeatureDescription, FeatureFlag
from features.patterns.held import held_by
from features.storage.kept_activations import kept_of

from ..ask.conftest import DEAD, PRINT, SCRIPT, asked  # noqa: F401  (a fixture)


@pytest.fixture
def told(asked, monkeypatch):  # noqa: F811
    """(SAE, activations) after all features were described."""
    sae, dense, text, labels = asked
    monkeypatch.setattr(steps, "STEPS", tuple(step for step in steps.STEPS if step.name == "descriptions"))
    steps.request_analysis(sae)
    assert worker.do(leases.claim_next({Analysis: steps.run_analysis}), steps.run_analysis), (
        Analysis.objects.get().error
    )
    return sae, dense


def listed(client, query):
    answer = client.get(f"/saes/tiny/features.json?{query}")
    return json.loads(b"".join(answer.streaming_content))["features"]


def of(client, index):
    return client.get(f"/saes/tiny/features/{index}.json").json()["description"]


def test_a_feature_is_described_and_ask_counts_the_same(client, told):
    sae, dense = told
    found = of(client, PRINT)
    assert (found["pattern"], found["f1"], found["why_not"]) == ('token(" print")', 1, "")
    assert found["line"].startswith("on “·print”; boosts “")
    assert found["by"] == "described by a simple pattern, not by a model or a person"
    for index in (PRINT, SCRIPT):
        found, active = of(client, index), dense[:, index] != 0
        where = held_by(sae.statistics, kept_of(sae), found["pattern"]).tokens
        answer = client.get(f"/saes/tiny/ask.json?{urlencode({'q': found['pattern'], 'feature': index})}").json()
        ours = next(one for one in answer["features"] if one["index"] == index)
        assert (ours["hits"], answer["held"]) == ((where & active).sum(), where.sum())
        odd = np.arange(len(where)) // (sae.corpus.row_length - 1) % 2 == 1
        counts = {"active": (active & odd).sum(), "held": (where & odd).sum(), "hits": (where & active & odd).sum()}
        assert found["counts"] == counts
    assert of(client, DEAD) is None
    page = " ".join(client.get("/saes/tiny/").content.decode().split())
    assert f"Of {((dense != 0).sum(0) >= 20).sum()} features with at least 20 activations" in page
    assert "describes 2 with an F1 of 0.3 or more, 2 with an F1 of 0.5 or more, 2 with an F1 of 0.8 or more." in page


def test_what_no_simple_pattern_tells_is_said_so(client, told):
    noise = [row for row in Feature.objects.all() if row.has(FeatureFlag.NO_SIMPLE_PATTERN)]
    assert noise and all(row.description_f1 < 0.3 for row in noise)
    found = of(client, noise[0].index)
    assert found["why_not"] == "no simple pattern" and found["line"].startswith("no simple pattern; boosts “")
    for show, expected in (
        ("unpatterned", {row.index for row in noise}),
        ("patterned", {PRINT, SCRIPT}),
        ("scarce", set()),
    ):
        assert {row["feature"] for row in listed(client, f"show={show}")} == expected
    assert not Feature.objects.get(index=DEAD).flags and not FeatureDescription.objects.filter(feature__index=DEAD)


def test_a_step_that_came_after_an_analysis_was_done_waits_for_a_worker(client, told, monkeypatch):
    monkeypatch.setattr(steps, "STEPS", (*steps.STEPS, steps.AnalysisStep("newer", 1, None)))
    page = client.get("/saes/tiny/").content.decode()
    assert "A worker works it out when it has nothing else to do." in page and "It was not worked out" not in page


def test_the_table_shows_sorts_and_searches_descriptions(client, told):
    page = client.get(f"/saes/tiny/features/?{urlencode({'q': '“·PRINT', 'by': 'description'})}").content.decode()
    assert f'id="f{PRINT}"' in page and f'id="f{SCRIPT}"' not in page and "descriptions by patterns" in page
    first = listed(client, "sort=-description_f1&columns=description,description_f1")[0]
    assert first["feature"] == PRINT and first["description"].startswith("on “·print”") and first["description_f1"] == 1
    ranged = client.get("/saes/tiny/features/?range=description_f1:0.9..").content.decode()
    assert f'id="f{PRINT}"' in ranged and 'id="f0"' not in ranged
