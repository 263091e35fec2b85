"""What follows from kept activations is worked out once, after statistics are shown, and stands on the pages."""

import html
import json
import re

import numpy as np
import pytest

from features.analysis import steps as analysis
from features.engine.model.verdict import TRUSTED
from features.jobs import leases, lifecycle, worker
from features.models import SAE, Analysis, Feature, FeatureAnalysis, Import, Job, KeptActivations, Statistics
from features.storage import verdicts, write
from features.storage.feature_rows import WORKED_OUT, WORKED_OUT_FLAGS, save
from features.storage.holdings import registry

from .. import shown
from ..ask.conftest import DEAD, PRINT, with_kept

pytestmark = pytest.mark.django_db
KINDS = {Analysis: analysis.run_analysis}


@pytest.fixture
def sae(tmp_path, monkeypatch):
    monkeypatch.setattr(leases, "BEAT_EVERY", 1000)  # another thread finds the tables of a test locked
    monkeypatch.setattr(verdicts, "known", lambda sae: TRUSTED)  # the model's check has tests of its own
    return with_kept(tmp_path)[0]


def text_of(client, address):
    page = client.get(address).content.decode()
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


def do(sae):
    assert analysis.request_analysis(sae) is not None
    assert worker.do(leases.claim_next(KINDS), analysis.run_analysis), Analysis.objects.get().error


def test_figures_follow_the_statistics_and_stand_on_the_pages(client, sae):
    told = text_of(client, "/saes/tiny/")
    assert "Importance Not worked out yet. A worker works it out when it has nothing else to do." in told
    assert client.get(f"/saes/tiny/features/{PRINT}.json").json()["analysis"]["importance"] is None
    do(sae)
    assert analysis.lacking(Statistics.objects.get()) == [] and analysis.request_analysis(sae) is None
    found = client.get(f"/saes/tiny/features/{PRINT}.json").json()["analysis"]["importance"]
    row = Feature.objects.get(index=PRINT)
    assert found["importance"] == pytest.approx(row.importance, rel=1e-4) and found["low"] < found["high"]
    assert 0 <= found["helps"] <= 1 and found["positives"] > 0
    tokens = client.get(f"/saes/tiny/features/{PRINT}.json").json()["analysis"]["tokens"]
    at = [(row["token"].strip(), row["share"], row["of_token"]) for row in tokens["places"]["at"]]
    assert at == [("print", 1, 1)] and tokens["one_token"] and tokens["entropy"] == [0, 0]
    assert (row.token_entropy, tokens["skew"]) == (0, pytest.approx(row.skew, rel=1e-3))
    assert tokens["kinds"] == [] and tokens["why_no_kinds"].startswith("not known: the corpus was added by an earlier")
    assert tokens["together"] and all(pair["meetings"] >= 5 for pair in tokens["together"])
    assert client.get(f"/saes/tiny/features/{DEAD}.json").json()["analysis"]["tokens"] is None
    listed = client.get("/saes/tiny/features.json?sort=token_entropy&columns=token_entropy").streaming_content
    first = json.loads(b"".join(listed))["features"][0]
    assert (first["feature"], first["token_entropy"]) == (PRINT, 0)
    dead = client.get(f"/saes/tiny/features/{DEAD}.json").json()["analysis"]
    assert dead["importance"] is None and dead["nearest"]["tokens"] == 960
    near = dead["nearest"]  # the feature is dead in made-up figures alone: its weights may well exceed their threshold
    assert near["threshold"] > 0 and near["gap"] == pytest.approx(near["threshold"] - near["value"], rel=1e-3)
    told = text_of(client, "/saes/tiny/")
    assert "One token only 1 of 11 features that fire on at least 20 tokens: nine in ten of their" in told
    assert "One position only 0 of 11" in told
    only = [
        re.findall(r'id="f(\d+)"', client.get(f"/saes/tiny/features/?show={name}").content.decode())
        for name in ("one-token", "one-position", "bos-only")
    ]
    bos = [str(DEAD)] * dead["nearest"]["on_bos"]
    assert only == [[str(PRINT)], [], bos] and f"BOS only {len(bos)} features fire on BOS" in told
    assert "one token only" in text_of(client, "/saes/tiny/features/")
    assert "features that fire on at least 20 tokens, 1 fire on one token only" in told
    assert "on 960 tokens of 64 rows drawn evenly" in told and "Token that becomes hard to predict" in told
    registry.remove("analyses", str(sae.statistics.pk))
    flags = Feature.objects.exclude(flags=None).values_list("flags", flat=True)
    assert not any(each & WORKED_OUT_FLAGS for each in flags) and "one token only" not in text_of(client, "/saes/tiny/")
    do(sae)
    assert "script>" not in client.get("/saes/tiny/").content.decode().partition('id="missed"')[2].partition("<h2")[0]


def test_a_step_that_is_broken_off_goes_on_and_those_before_it_are_kept(sae, monkeypatch):
    done = []
    broken = [True]

    def step(name):
        def run(work):
            if name == "second" and broken.pop():
                raise OSError(28, "No space left on device")
            done.append(name)
            work.write(name, {"importance": np.arange(12.0)}, [{"of": name}] * 12)

        return analysis.AnalysisStep(name, 1, run)

    broken.insert(0, False)
    monkeypatch.setattr(analysis, "STEPS", (step("first"), step("second")))
    work = analysis.request_analysis(sae)
    assert not worker.do(leases.claim_next(KINDS), analysis.run_analysis)
    work.refresh_from_db()
    assert work.state == "failed" and "is full" in work.error and analysis.lacking(work.statistics) == ["second"]
    assert analysis.request_missing() == 0  # a failed one is not begun again by itself
    lifecycle.retry(work)
    assert worker.do(leases.claim_next(KINDS), analysis.run_analysis)
    assert done == ["first", "second"] and FeatureAnalysis.objects.filter(step="first").count() == 8
    # A new version of a step is worked out anew, by whoever starts next, and replaces what was there.
    monkeypatch.setattr(analysis, "STEPS", (analysis.AnalysisStep("first", 2, lambda work: None), *analysis.STEPS[1:]))
    assert analysis.request_missing() == 1 and analysis.request_missing() == 0


def test_between_two_steps_what_is_more_urgent_goes_first(sae, monkeypatch):
    kinds, done, urgent = {Import: None, **KINDS}, [], []

    def step(name):
        def run(work):
            done.append(name)
            if not urgent:
                urgent.append(Import.objects.create(path="x"))

        return analysis.AnalysisStep(name, 1, run)

    monkeypatch.setattr(analysis, "STEPS", (step("first"), step("second"), step("third")))
    work = analysis.request_analysis(sae)
    assert worker.do(leases.claim_next(kinds), analysis.run_analysis)
    work.refresh_from_db()
    assert (work.state, work.attempts, done) == ("queued", 0, ["first"])
    first = leases.claim_next(kinds)
    assert first.work == urgent[0]
    first.finish()
    assert worker.do(leases.claim_next(kinds), analysis.run_analysis)
    work.refresh_from_db()
    assert work.state == "done" and done == ["first", "second", "third"]


def test_a_step_that_fails_holds_up_no_other_and_is_tried_again_in_another_version(client, sae, monkeypatch):
    done = []

    def step(name, version=1):
        def run(work):
            if name == "second" and version == 1:
                raise RuntimeError("index 7 is out of bounds")
            done.append(name)

        return analysis.AnalysisStep(name, version, run, f"the {name}")

    monkeypatch.setattr(analysis, "STEPS", (step("first"), step("second"), step("third")))
    work = analysis.request_analysis(sae)
    assert not worker.do(leases.claim_next(KINDS), analysis.run_analysis)
    work.refresh_from_db()
    assert (work.state, work.error) == ("failed", "The second: RuntimeError: index 7 is out of bounds.")
    assert done == ["first", "third"] and analysis.lacking(Statistics.objects.get()) == ["second"]
    assert "It was not worked out: The second: RuntimeError: index 7" in text_of(client, "/saes/tiny/")
    assert analysis.request_missing() == 0  # as it is, it would fail again
    monkeypatch.setattr(analysis, "__version__", "0.2.0")
    assert analysis.request_missing() == 1
    lifecycle.cancel(Analysis.objects.exclude(pk=work.pk).get())
    assert analysis.request_missing() == 0
    monkeypatch.setattr(analysis, "STEPS", (step("first"), step("second", 2), step("third")))
    assert analysis.request_missing() == 1
    assert worker.do(leases.claim_next(KINDS), analysis.run_analysis)
    assert done == ["first", "third", "second"] and analysis.lacking(Statistics.objects.get()) == []


def told_of(client, index):
    found = client.get(f"/saes/tiny/features/{index}.json").json()
    return found["analysis"], found["description"], found["only"]


def test_what_was_worked_out_of_features_that_are_computed_anew_stays(client, sae, monkeypatch):
    monkeypatch.setattr(analysis, "STEPS", analysis.STEPS[:2])  # without the model
    do(sae)
    before, columns = told_of(client, PRINT), Feature.objects.values(*WORKED_OUT, "flags").get(index=PRINT)
    assert before[0]["tokens"] and before[1] and before[2] == [["one-token", "one token only"]]
    result = write._new_set(sae, sae.corpus, None, shown.Collected().summary)
    Statistics.objects.filter(pk=result.pk).update(tokens=sae.statistics.tokens)
    result.refresh_from_db()
    save(list(write._rows(sae, result, [next(f for f in shown.Collected().features() if f.index == PRINT)])))
    anew = result.features.get().pk
    write._join(SAE.objects.get().statistics, result, Job(sae=sae, corpus=sae.corpus, features=[PRINT]))
    assert told_of(client, PRINT) == before and Feature.objects.get(index=PRINT).pk == anew
    assert Feature.objects.values(*WORKED_OUT, "flags").get(index=PRINT) == columns
    assert analysis.lacking(Statistics.objects.get()) == [] and analysis.request_analysis(sae) is None


def test_nothing_is_asked_for_where_nothing_is_kept(client, sae):
    KeptActivations.objects.update(manifest="", why_not="They were freed.")
    assert analysis.request_analysis(sae) is None
    assert "It follows from kept activations, and there are none. They were freed." in text_of(client, "/saes/tiny/")
    assert "Which features these are is not worked out yet. It follows" in text_of(
        client, "/saes/tiny/features/?show=bos-only"
    )
