"""Is grading blind, fair and told as it was?"""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext

from features.engine.model.verdict import TRUSTED
from features.grading import controls, intruder, results, sample
from features.jobs import leases, worker
from features.models import Feature, GradingDraw, GradingSample, Judgement
from features.storage import verdicts
from tests import made_up

from .. import shown
from ..ask.conftest import with_kept
from ..browse.test_pages import text_of

SILENT = {"everywhere": lambda index: lambda row, first, last: True}


@pytest.fixture
def sae(db, tmp_path, monkeypatch):
    monkeypatch.setattr(sample, "_silence_of", lambda sae: SILENT["everywhere"])
    sae = shown.shown_sae(tmp_path)
    Feature.objects.filter(index__in=[0, 1]).update(density=0.00005)
    Feature.objects.filter(index__in=[2]).update(density=0.2)
    return sae


def drawn(client, **fields):
    answer = client.post("/saes/tiny/grading/", {"size": 6, "seed": 3} | fields)
    return answer.url


def test_a_sample_is_drawn_evenly_from_the_decades_and_again_with_its_seed(client, sae):
    addresses = [drawn(client), drawn(client), drawn(client, seed=4)]
    one, same, other = (GradingSample.objects.get(key=address.split("/")[2]) for address in addresses)
    assert one.items == same.items != other.items
    strata = [item["stratum"] for item in one.items]
    assert sorted(strata) == [0, 0, 3, 3, 3, 4] and len({item["index"] for item in one.items}) == 6
    assert one.saes[0]["alive"] == [2, 0, 0, 4, 1] and 3 not in [item["index"] for item in one.items]  # 3 is dead


@pytest.mark.parametrize(
    "fields, said", [({"size": 0}, "from 1 to 500"), ({"seed": "x"}, "whole number"), ({"size": 501}, "501")]
)
def test_what_cannot_be_drawn_is_said(client, sae, fields, said):
    assert said in text_of(client.get(drawn(client, **fields))) and not GradingSample.objects.exists()


def test_nothing_tells_which_feature_it_is_before_all_are_graded(client, sae):
    address = drawn(client)
    found = GradingSample.objects.get()
    page = client.get(address).content.decode()
    assert "tiny" not in page.lower().replace("tiny features", "") and "c0ffee" not in page
    for number in range(6):
        item = client.get(f"{address}{number}.json").json()
        if item["lines"]:
            assert item["panel"] is None  # the panels would answer the question
            assert "stranger" not in item and len(item["lines"]) == 5
            item = client.post(f"{address}{number}.json", {"picked": 1}, "application/json").json()
        told = json.dumps(item)
        for secret in ("index", "slug", "neighbours", "checkpoint", '"row"', '"ids"', "tiny"):
            assert secret not in told
        assert item["panel"]["sequences"]["top"]
    assert "Which they were" not in text_of(client.get(f"{address}result/"))
    for number in range(6):
        client.post(f"{address}{number}.json", {"grade": "clear"}, "application/json")
    read = text_of(client.get(f"{address}result/"))
    assert "Which they were" in read and f"tiny #{found.items[0]['index']}" in read


def test_the_stranger_is_of_another_feature_where_this_one_is_silent(sae):
    text = sample.CorpusText.of(sae)
    records = {feature.index: feature for feature in shown.Collected(size=shown.COMPUTED).features()}
    asked = []

    def silent(row, first, last):
        asked.append((row, first, last))
        return row % 2 == 0

    others = [record for index, record in records.items() if index not in (0, 3)]
    found, why = intruder.intruder(records[0], others, silent, text, np.random.default_rng(0))
    assert not why and abs(found.share - found.stranger_share) <= intruder.APART
    own = {intruder._text(text, r, p) for r, p, _ in zip(*intruder._examples(records[0]), strict=True)}
    lines = ["".join(line["tokens"]) for line in found.lines]
    assert [line in own for line in lines].count(False) == 1 and lines[found.stranger] not in own
    assert len(set(lines)) == 5 and all(last - first == intruder.BEFORE + intruder.AFTER for _, first, last in asked)
    none, why = intruder.intruder(records[0], [records[4]], lambda *place: False, text, np.random.default_rng(0))
    assert none is None and "silent" in why


def test_without_kept_activations_the_question_is_left_out_with_the_reason(client, db, tmp_path):
    shown.shown_sae(tmp_path)
    item = client.get(f"{drawn(client)}0.json").json()
    assert item["lines"] is None and "No intruder question" in item["why_none"] and item["panel"]["sequences"]


def test_a_picked_line_stands_and_answers_are_taken_up_again(client, sae):
    address = drawn(client)
    number = next(n for n, item in enumerate(GradingSample.objects.get().items) if item["intruder"])
    post = lambda **answer: client.post(f"{address}{number}.json", answer, "application/json")  # noqa: E731
    assert post(picked=5).status_code == post(grade="great").status_code == post().status_code == 400
    assert post(picked=2).json()["picked"] == 2
    again = post(picked=1)
    assert again.status_code == 400 and "picked already" in again.json()["error"]
    post(grade="clear")
    post(grade="partly")
    item = client.get(f"{address}{number}.json").json()
    assert (item["picked"], item["grade"]) == (2, "partly")
    assert "1 of 6" in text_of(client.get("/saes/tiny/grading/")) and "go on" in text_of(
        client.get("/saes/tiny/grading/")
    )
    assert client.get(f"{address}6.json").status_code == 404


def test_result_files_and_labels_say_what_was_answered(client, sae):
    address = drawn(client)
    found = GradingSample.objects.get()
    grades = ["clear", "clear", "partly", "unclear", "clear", "clear"]
    Judgement.objects.create(
        weights=sae.checkpoint_hash, width=12, index=found.items[0]["index"], author="local reader", grade="unclear"
    )
    for number, grade in enumerate(grades):
        if question := found.items[number]["intruder"]:
            client.post(f"{address}{number}.json", {"picked": question["stranger"]}, "application/json")
        client.post(f"{address}{number}.json", {"grade": grade}, "application/json")
    rows = list(csv.DictReader(io.StringIO(client.get(f"{address}answers.csv").content.decode())))
    assert [row["grade"] for row in rows] == grades and {row["right"] for row in rows} <= {"True", ""}
    assert client.get(f"{address}answers.json").json()["answers"][2]["feature"] == found.items[2]["index"]
    client.post(f"{address}labels/")
    kept = dict(Judgement.objects.values_list("index", "grade"))
    assert kept[found.items[0]["index"]] == "unclear" and kept[found.items[2]["index"]] == "partly"
    (told,) = results.of_grader(found, "local reader")
    assert told["all"].graded == 6 and sum(line.clear.hits for line in told["lines"]) == 4


def test_shares_are_weighted_by_the_alive_features_of_each_decade():
    found = results.weighted([(1, 10, 900), (10, 10, 100), (0, 0, 50)])
    assert found.value == pytest.approx(0.9 * 0.1 + 0.1 * 1) and (found.hits, found.of) == (11, 20)
    assert found.low < found.value < found.high
    one = results.share(8, 10)
    assert (one.low, one.high) == (
        pytest.approx(0.497, abs=0.01),
        pytest.approx(0.955, abs=0.01),
    )  # Jeffreys of 8 of 10
    seldom = results.weighted([(1, 4, 220), (0, 4, 900), (0, 4, 1525), (0, 4, 1417), (0, 4, 30)])
    assert seldom.low <= seldom.value == pytest.approx(0.25 * 220 / 4092)  # though all posteriors lie higher
    assert results.share(0, 10).low == 0 and results.share(10, 10).high == 1 and results.share(0, 0).value is None


def test_cohens_kappa_by_hand_and_for_two_graders(client, sae):
    one, other = ["clear"] * 5 + ["unclear"] * 5, ["clear"] * 4 + ["unclear"] * 6
    # observed 9/10; by chance 0.5 * 0.4 + 0.5 * 0.6 = 0.5
    assert results.cohens_kappa(one, other) == pytest.approx((0.9 - 0.5) / 0.5)
    assert results.cohens_kappa(["clear"], ["clear"]) is None and results.cohens_kappa([], []) is None
    address = drawn(client)
    for number, grade in enumerate(("clear", "unclear")):
        client.post(f"{address}{number}.json", {"grade": grade}, "application/json")
    client.force_login(get_user_model().objects.create_user("ann"))
    for number, grade in enumerate(("clear", "unclear")):
        client.post(f"{address}{number}.json", {"grade": grade}, "application/json")
    read = text_of(client.get(f"{address}result/"))
    assert "ann and local reader: the same grade on 2 of 2, Cohen's kappa 1.00" in read


def test_controls_are_drawn_by_a_worker_and_graded_among_the_features(client, db, tmp_path, sent, monkeypatch):
    monkeypatch.setattr(leases, "BEAT_EVERY", 1000)  # another thread finds the tables of a test locked
    monkeypatch.setattr(verdicts, "known", lambda sae: TRUSTED)  # the model's check has tests of its own
    sae = with_kept(tmp_path)[0]
    Feature.objects.filter(index__in=[0, 1, 2, 4, 5, 6]).update(density=0.05)
    asked = {"size": 4, "seed": 3, "control": ["neurons", "random"], "controls": 3}
    refused = text_of(client.post("/saes/tiny/grading/", asked, follow=True))
    assert "computed by a worker" in refused and "plain neurons" not in refused.split("Draw a sample")[1]
    client.force_login(get_user_model().objects.create_superuser("ada"))
    assert "from 1 to 100" in text_of(client.post("/saes/tiny/grading/", asked | {"controls": 101}, follow=True))
    client.post("/saes/tiny/grading/", asked)
    work = GradingDraw.objects.get()
    assert client.get(f"/drawings/{work.pk}.json").json()["can_cancel"] and not GradingSample.objects.exists()
    worker.work({GradingDraw: controls.run_draw})
    found = GradingSample.objects.get()
    kinds = [source.get("control", "") for source in found.saes]
    assert kinds == ["", "neurons", "random"] and [item["sae"] for item in found.items] != sorted(
        [0] * 4 + [1] * 3 + [2] * 3
    )
    told = {kinds[item["sae"]]: number for number, item in enumerate(found.items)}
    panels = {}
    for number, item in enumerate(found.items):
        if item["intruder"]:
            assert len({"".join(line["tokens"]) for line in item["intruder"]["lines"]}) == 5
            picked = {"picked": item["intruder"]["stranger"]}
            client.post(f"/grading/{found.key}/{number}.json", picked, "application/json")
        answer = client.post(f"/grading/{found.key}/{number}.json", {"grade": "clear"}, "application/json").json()
        panels[number] = answer["panel"]
    # A control looks as a feature does: the same fields, nothing that only one of them has.
    of = {kind: panels[number] for kind, number in told.items()}
    assert {frozenset(panel) for panel in panels.values()} == {frozenset(of[""])}
    active = [a for panel in panels.values() for line in panel["sequences"]["top"] for a in line["active"]]
    assert active and all(a["loss_effect"] is None for a in active) and of["random"]["logits"]["positive"]
    row = found.controls.get(number=told["neurons"])
    assert abs(row.count - 0.05 * row.tokens) <= 2  # the text comes again and again: values tie at the level
    assert of["neurons"]["count"] is None
    feature, text = controls.opened(row)
    top = feature.examples.top
    hook = controls.subject_of(sae).activations(np.asarray(text.rows).astype(np.int64))[
        ..., found.items[row.number]["index"]
    ]
    value = hook.numpy()[top.rows, top.positions]
    np.testing.assert_allclose(value - value.min(), top.activations - top.activations.min(), atol=1e-4)
    assert value[0] == hook[:, 1:].max()
    page = text_of(client.get(f"/grading/{found.key}/result/"))
    assert "Beside each other" in page and "random SAE of equal L0 control 3" in page and "random direction" in page
    client.post(f"/grading/{found.key}/labels/")
    assert Judgement.objects.count() == 4  # controls are no features


def test_samples_mix_checkpoints_and_other_saes(client, sae, tmp_path):
    other = shown.shown_sae(tmp_path, "second", name="Second", checkpoint_hash="beef")
    page = text_of(client.get("/saes/tiny/grading/"))
    assert "Second" in page.split("Mix with others")[1]
    found = GradingSample.objects.get(key=drawn(client, other=[other.slug]).split("/")[2])
    assert [source["slug"] for source in found.saes] == ["tiny", "second"]
    assert sorted(item["sae"] for item in found.items) == [0, 0, 0, 1, 1, 1]
    assert "no SAE “gone”" in text_of(client.post("/saes/tiny/grading/", {"other": "gone"}, follow=True))


def test_panels_have_what_the_one_list_of_a_rare_feature_is_told_with(client, sae):
    address = drawn(client)
    client.post(f"{address}0.json", {"picked": 0}, "application/json")
    panel = client.get(f"{address}0.json").json()["panel"]
    assert panel["population"]["tokens"] == shown.TOKENS  # “on 3 of 9,600 tokens”
    places = {line["place"] for line in panel["sequences"]["top"]}
    assert len(places) > 1  # lines of other rows are told apart, and the rows are not


def test_random_positives_come_before_top_activations_however_many_there_are(sae):
    class Text(dict):
        """Each token says where it stands: no two lines are alike."""

        def __missing__(self, row):
            return None, [f"{row}:{at}" for at in range(made_up.LENGTH)], ()

    records = {feature.index: feature for feature in shown.Collected(size=shown.COMPUTED).features()}
    random, top = (group for group in (records[0].examples.random, records[0].examples.top))
    fields = ("rows", "positions", "activations", "copies")
    few = replace(random, **{name: getattr(random, name)[: intruder.OWN] for name in fields})
    assert len(top.rows) > len(few.rows)
    own = replace(records[0], examples=replace(records[0].examples, random=few))
    drawn = {f"{row}:{at}" for row, at in zip(few.rows, few.positions, strict=True)}
    for seed in range(5):
        found, _ = intruder.intruder(own, [records[1]], lambda *place: True, Text(), np.random.default_rng(seed))
        asked = [line["tokens"][line["position"]] for line in found.lines]
        assert set(asked) - {asked[found.stranger]} == drawn


def test_the_list_of_samples_asks_for_no_items_and_no_more_for_more_samples(client, sae):
    def asked():
        with CaptureQueriesContext(connection) as found:
            page = client.get("/saes/tiny/grading/")
        return page.context["samples"], [query["sql"] for query in found if "gradingsample" in query["sql"]]

    client.post(f"{drawn(client)}0.json", {"grade": "clear"}, "application/json")
    _, before = asked()
    drawn(client, seed=4)
    GradingSample.objects.create(name="of another", seed=1, saes=[{"weights": "other"}], items=[])
    samples, statements = asked()
    assert [(sample.done, sample.size) for sample in samples] == [(0, 6), (1, 6)]
    assert len(statements) == len(before) == 1
    assert samples[0].get_deferred_fields() == {"items"}


@pytest.mark.parametrize("count, said", [(1, "1 grade was put"), (2, "2 grades were put")])
def test_how_many_grades_were_put_is_said_in_its_number(client, sae, count, said):
    address = drawn(client)
    for number in range(count):
        client.post(f"{address}{number}.json", {"grade": "clear"}, "application/json")
    assert said in text_of(client.post(f"{address}labels/", follow=True))
