"""Do labels come of examples, scores of others, and is a machine's label one until a person says so?"""

import csv
import io
import json

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command

from features.autointerp.examples import ExampleSource
from features.autointerp.job import run_autointerp
from features.jobs import worker
from features.judge import label_files, label_import
from features.judge.reader import Reader
from features.models import AutoInterp, Judgement, JudgementChange

from ..browse.test_pages import text_of
from .stand_in import reads_badly

PAGE = "/saes/tiny/autointerp/"
ASKED = {"which": "list", "listed": "only=1,2,5", "count": "10", "seed": "0", "again": "yes"}


def ask(client, model, **changes):
    return client.post(PAGE, {**ASKED, "address": model.address, "model": "parrot-1", **changes})


def done(client, model, **changes) -> AutoInterp:
    """Asked for on the page, and made by a worker."""
    assert ask(client, model, start="yes", **changes).status_code == 302
    worker.work({AutoInterp: run_autointerp})
    return AutoInterp.objects.first()


def test_right_labels_are_told_apart_from_shuffled_ones_and_are_a_machines(client, words, model, sent):
    told = text_of(ask(client, model, price_in="1", price_out="2"))
    assert "3 features by parrot-1" in told and "About 15 calls" in told and "at the prices given" in told
    assert not model.asked and not AutoInterp.objects.exists()
    work = done(client, model)
    assert (work.state, work.calls, work.failed_calls, work.tokens) == ("done", 15, 0, 15 * 110)
    assert work.outcome["score"]["mean"] == 1 and work.outcome["difference"]["low"] > 0.2
    page = text_of(client.get(PAGE))
    assert (
        "3 of 3 labelled" in page
        and "the word river" in page
        and "Shuffled control" in page
        and "0 of them failed (0 %)" in page
    )
    control = Judgement.objects.get(index=2).machine["control"]
    assert f"the word river machine 100 % control {100 * control:.0f} %" in text_of(
        client.get("/saes/tiny/features/?q=river&by=label")
    )
    order = json.loads(client.get("/saes/tiny/features.json?sort=-detection&show=alive").getvalue())["features"]
    assert {row["feature"] for row in order[:3]} == {1, 2, 5} and "detection 100" in order[0]["label_by"]
    ranged = [client.get(f"/saes/tiny/features.json?range=detection:{ends}&sort=-mean") for ends in ("0.9..", "..0.5")]
    high, low = [{row["feature"] for row in json.loads(answer.getvalue())["features"]} for answer in ranged]
    assert high == {1, 2, 5} and not low
    (other,) = client.get("/saes/tiny/labels/2.json").json()["others"]
    assert (other["author"], other["kind"], other["machine"]["score"]) == ("parrot-1", "machine", 1.0)
    _travels(client, words)
    _is_rejected_and_confirmed(client, other["id"])


def _travels(client, words):
    """With author, model, score and control, in both forms."""
    as_csv = list(csv.DictReader(io.StringIO(client.get("/saes/tiny/labels.csv").content.decode())))
    assert {row["model"] for row in as_csv} == {"parrot-1"} and float(as_csv[1]["control"]) <= 0.75
    kept = {row.index: row.machine for row in Judgement.objects.all()}
    for form in ("json", "csv"):
        file = client.get(f"/saes/tiny/labels.{form}").content
        Judgement.objects.all().delete()
        label_import.take(label_files.read(file, words, "ann"), words, Reader("ann"))
        assert {row.index: row.machine for row in Judgement.objects.filter(kind="machine")} == kept
    bad = json.dumps({"labels": [{"feature": 1, "label": "x", "kind": "machine", "machine": {"score": 7}}]})
    assert "score is a share from 0 to 1" in label_files.read(bad.encode(), words, "ann").left_out[0]


def _is_rejected_and_confirmed(client, id):
    id = Judgement.objects.get(index=2).pk
    reject = lambda rejected: client.post(  # noqa: E731
        "/saes/tiny/labels/2/reject/", json.dumps({"id": id, "rejected": rejected}), "application/json"
    )
    told = reject(True).json()
    assert told["others"][0]["rejected_by"] == "local reader" and told["history"][0]["said"]["rejected"] is True
    assert "the word river" not in text_of(client.get("/saes/tiny/features/"))
    reject(False)
    assert "the word river machine" in text_of(client.get("/saes/tiny/features/"))
    body = {"changes": {"label": "the word river"}, "revision": 0, "taken_from": "parrot-1"}
    own = client.post("/saes/tiny/labels/2.json", json.dumps(body), "application/json").json()["own"]
    assert own["taken_from"] == "parrot-1"
    assert "the word river machine" not in text_of(client.get("/saes/tiny/features/"))
    assert JudgementChange.objects.filter(said__rejected=False).count() == 1


def test_labels_are_tried_on_other_rows_than_they_are_made_of(words):
    source = ExampleSource(words)
    drawn = source.drawn(2, seed=0)
    text = ["".join(source.text[row][1][1:]) for row in range(source.rows)]
    plain = [example["text"].replace("⟦", "").replace("⟧", "") for example in drawn.shown]
    shown, held = ([[part in row for row in text].index(True) for part in parts] for parts in (plain, drawn.held))
    assert {row % 2 for row in shown} == {0} and {row % 2 for row in held} == {1}
    assert len(set(held)) == len(held) == 20 and sum(drawn.fits) == 10
    assert [" river" in part for part in drawn.held] == drawn.fits
    assert all(f"⟦{token}⟧" in example["text"] for example in drawn.shown for token, _ in example["active"])
    strengths = [max(strength for _, strength in example["active"]) for example in drawn.shown]
    assert strengths == sorted(strengths, reverse=True) and 1 <= strengths[-1] <= strengths[0] <= 10
    assert source.drawn(2, seed=0) == drawn != source.drawn(2, seed=1)


def test_labels_that_say_nothing_score_as_their_control_does(client, words, model, sent):
    model.says = reads_badly
    work = done(client, model)
    assert work.outcome["score"] == work.outcome["control"] and work.outcome["difference"]["mean"] == 0


def test_labels_that_were_paid_for_are_left_out_the_next_time(client, words, model, sent):
    done(client, model, listed="only=1,2")
    assert "2 are left out: parrot-1 has labelled them" in text_of(ask(client, model, again=""))
    assert "has labelled all of these 2 features" in text_of(ask(client, model, again="", listed="only=1,2"))


def test_one_feature_has_another_for_its_control(client, words, model, sent):
    work = done(client, model, which="one", feature="1", seed="3")
    assert work.companion not in (1, None)
    facts = Judgement.objects.get().machine
    companion = work.items.get(index=work.companion)
    assert ("score" in facts) == bool(companion.label) and model.labels_asked == 1 + bool(companion.label)


def test_a_label_is_text_and_never_markup_nor_longer_than_a_label_is(client, words, model, sent):
    stung = "<img src=x onerror=alert(1)>"
    model.says = lambda data: json.dumps({"label": stung if "river" in str(data) else "x" * 201})
    ask(client, model, start="yes", listed="only=1,2")
    worker.work({AutoInterp: run_autointerp})
    content = client.get(PAGE).content.decode()
    assert stung not in content and "&lt;img src=x onerror=alert(1)&gt;" in content
    assert not Judgement.objects.filter(label__startswith="xx").exists()


def test_only_staff_start_it_where_others_reach_the_site(client, words, model, sent, settings):
    settings.SAEVIZ_ONLY_HERE = False
    assert ask(client, model, start="yes").status_code == 403 and "Staff who may compute" in text_of(client.get(PAGE))
    client.force_login(get_user_model().objects.create_user("ann"))
    assert ask(client, model, start="yes").status_code == 403
    client.force_login(get_user_model().objects.create_superuser("ada"))
    ask(client, model, start="yes")
    work = AutoInterp.objects.get()
    assert work.requested_by.username == "ada" and "3 by parrot-1" in text_of(client.get("/admin/features/autointerp/"))
    client.logout()
    assert client.post(f"/autointerp/{work.pk}/cancel/").status_code == 403


def test_the_command_estimates_labels_and_says_what_came_of_it(words, model, sent, capsys):
    call_command("autointerp", "tiny", features=[1, 2], estimate=True)
    assert "About 10 calls" in capsys.readouterr().err and not model.asked
    call_command("autointerp", "tiny", features=[1, 2])
    out = capsys.readouterr().out
    assert not sent  # no worker is rung for: the command does it
    assert "100%, control" in out and "the word river" in out and "10 calls" in out
    with pytest.raises(CommandError, match="has labelled all of these 2"):
        call_command("autointerp", "tiny", features=[1, 2])


def test_a_long_list_of_the_table_is_taken_whole(client, words, model, sent):
    listed = "only=" + ",".join([*["1"] * 400, "2", "5"])
    assert "3 features by parrot-1" in text_of(ask(client, model, listed=listed))
