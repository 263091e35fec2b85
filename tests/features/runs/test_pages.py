"""What a reader sees of a training: runs, one run, a checkpoint and its lists, a feature through it."""

import json
import re
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext

from features.models import Checkpoint, CheckpointTest, Claim, Run, Watch
from features.runs import warnings

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(made_run):
    return made_run(checkpoints=4)


def data_of(response, name):
    return json.loads(re.search(rf'<script id="{name}"[^>]*>(.*?)</script>', response.content.decode(), re.S)[1])


def at(run, n) -> Checkpoint:
    return list(run.in_order())[n]


def test_runs_stand_on_the_home_page_and_on_their_own(client, run):
    assert f'href="/runs/{run.slug}/">made</a>: 4 checkpoints' in client.get("/").content.decode()
    page = client.get("/runs/").content.decode()
    assert "4,000 tokens" in page and "/made" in page


def test_a_folder_that_is_gone_and_files_that_were_not_read_are_told(client, run):
    Watch.objects.update(problem="/made cannot be read: gone.")
    Checkpoint.objects.create(
        watch=run.watch, path="/made/bad.pt", signature="x", appeared=at(run, 0).appeared, state="failed", error="Half."
    )
    page = client.get("/runs/").content.decode()
    assert "/made cannot be read: gone." in page and "bad.pt</code>: Half." in page
    assert "/made cannot be read: gone." in client.get(f"/runs/{run.slug}/").content.decode()
    Checkpoint.objects.update(measured=None)  # the first is being read
    assert [client.get(page).status_code for page in ("/", "/runs/", f"/runs/{run.slug}/")] == [200] * 3


def test_a_run_is_drawn_over_its_steps(client, run):
    response = client.get(f"/runs/{run.slug}/")
    (drawn,) = data_of(response, "run-data")["runs"]
    assert drawn["x"] == [1000, 2000, 3000, 4000] and drawn["labels"][0] == "1,000 tokens"
    recovered = next(curve for curve in drawn["curves"] if curve["key"] == "loss_recovered")
    assert recovered["values"] == [0.9, 0.9005, 0.901, 0.9015] and recovered["margins"] == [0.01] * 4
    assert drawn["turnover"] == {"born": [0, 1, 0, 0], "died": [0, 0, 1, 0], "revived": [0, 0, 0, 1]}
    assert "drawn with seed 0); whether the trainer read them is not known" in response.content.decode()
    assert client.get(f"/runs/{run.slug}.json").json() == drawn | {"claims": []}


def test_runs_are_laid_beside_each_other(client, run, made_run):
    made_run(slug="other", config={"lr": 0.1})
    drawn = data_of(client.get(f"/runs/{run.slug}/?with=other"), "run-data")["runs"]
    assert [each["slug"] for each in drawn] == ["made", "other"]
    assert "lr = 0.1" in client.get("/runs/").content.decode()
    assert client.get(f"/runs/{run.slug}/?with=nothing").status_code == 404


def test_a_checkpoint_tells_its_health_with_intervals(client, run):
    page = client.get(at(run, 1).get_absolute_url()).content.decode()
    assert "90 ± 1 % (95 %)" in page.replace("\u00a0", " ") and "half of tokens have 3 or fewer" in page
    assert "1,000 tokens</a>" in page and "3,000 tokens ›" in page


@pytest.mark.parametrize(
    ("n", "name", "features"),
    [(1, "born", [0]), (2, "died", [1]), (3, "revived", [1]), (2, "changed", [2]), (2, "dead", [1]), (0, "all", None)],
)
def test_lists_of_features(client, run, n, name, features):
    page = client.get(f"{at(run, n).get_absolute_url()}?list={name}").content.decode()
    found = [int(index) for index in re.findall(r"#(\d+)</a>", page)]
    assert sorted(found) == (sorted(features) if features else list(range(8)))


def test_lists_stand_at_the_checkpoint_whose_weights_are_the_same(client, run):
    same = at(run, 0)
    type(same).objects.filter(pk=same.pk).update(same_as=at(run, 1))
    page = client.get(f"{same.get_absolute_url()}?list=dead")
    assert page.status_code == 200 and "It has the same weights as" in page.content.decode()
    assert "?list=" not in page.content.decode()


def test_a_bar_of_a_histogram_leads_to_the_features_in_it(client, run):
    url = at(run, 0).get_absolute_url()
    assert "1 feature</h2>" in client.get(f"{url}?list=density&low=0.06&high=0.0626").content.decode()
    assert client.get(f"{url}?list=density").status_code == 404
    assert client.get(f"{url}?list=nonsense").status_code == 404
    assert client.get(f"{url}?list=density&low=x&high=1").status_code == 404


def test_a_feature_is_followed_through_its_run(client, run, tiny):
    assert 'data-strip="/static/runs/strip.js"' in client.get("/saes/tiny/features/1/").content.decode()
    found = client.get("/saes/tiny/features/1/training.json").json()
    assert found["events"] == [None, None, "died", "revived"] and found["here"] == 3
    density = next(curve["values"] for curve in found["curves"] if curve["key"] == "density")
    assert density == [60 / 960, 60 / 960, 0, 60 / 960]
    kept = next(curve["values"] for curve in found["curves"] if curve["key"] == "kept")
    assert kept[1] == 20 and kept[2] is None
    assert client.get("/saes/tiny/features/2/training.json").json()["events"][2] == "changed"
    assert client.get("/saes/tiny/features/8/training.json").status_code == 404


def test_rules_warn_and_can_be_changed(client, run):
    bad = at(run, 2)
    bad.figures |= {"health": {"common_direction": 0.6}, "loss_recovered": 0.5, "loss_reconstructed": 4.9}
    bad.save()
    page = client.get(f"/runs/{run.slug}/").content.decode()
    assert "3 warnings" in page and "mean cosine 0.60, above 0.2" in page
    assert "loss recovered fell from 90 ± 1 to 50 ± 1 %" in page and "rose from 4.199 to 4.900 nats" in page
    Watch.objects.update(rules={"common_direction": None, "loss_spike": 1, "recovered_drop": None, "l0_least": 49.2})
    page = client.get(f"/runs/{run.slug}/").content.decode()
    assert "2 warnings" in page and "L0 is 49.0, below 49.2" in page


def test_staff_star_a_checkpoint_and_others_may_not(client, admin_client, run):
    address = f"{at(run, 1).get_absolute_url()}star/"
    assert client.post(address).status_code == 403
    assert admin_client.post(address).status_code == 302
    assert at(run, 1).starred


def test_a_checkpoint_that_cannot_be_read_is_a_warning_with_its_step_and_a_mark(client, run, monkeypatch):
    failed = at(run, 3)
    said = "/made/made/2500: W_enc has 4 NaN and 0 infinite of 8"
    own = {"step": 2500, "state": "failed", "error": said, "appeared": failed.appeared, "watch": run.watch}
    Checkpoint.objects.create(path="/made/made/2500", signature="x", **own)
    page = client.get(run.get_absolute_url())
    text = page.content.decode()
    assert f'#checkpoints">2,500 tokens</a>: could not be read: {said}' in text and text.count(said) >= 2
    (mark,) = data_of(page, "run-data")["runs"][0]["faults"]
    assert mark["x"] == 2500 and said in mark["says"]
    told = []
    monkeypatch.setattr(warnings, "_send", lambda address, checkpoint, found: told.append(found[0].sentence))
    monkeypatch.setattr(warnings.settings, "SAEVIZ_WEBHOOK", "http://there", raising=False)
    warnings.tell_unread(Checkpoint.objects.get(signature="x"), said)
    assert told == [f"could not be read: {said}"]
    Watch.objects.update(rules={"unreadable": None})
    assert data_of(client.get(run.get_absolute_url()), "run-data")["runs"][0]["faults"] == []


def test_what_is_said_of_one_checkpoint_and_of_many_is_said_as_one_says_it(client, run):
    says = {"kind": "density", "between": [0, 1]}
    claim = Claim.objects.create(checkpoint_hash=at(run, 3).sae.checkpoint_hash, index=2, says=says)
    Checkpoint.objects.update(path=__file__)  # there to be read
    client.force_login(get_user_model().objects.create_superuser("ada"))
    page = " ".join(client.get(f"/runs/{run.slug}/").content.decode().split())
    assert "At 4 checkpoints some were not tested: they were made after these were read." in page
    assert "These are read once more; what is known of them stays." in page
    assert "the first, the last and one in every 10 checkpoints" in page
    for n in range(3):
        CheckpointTest.objects.create(claim=claim, checkpoint=at(run, n), holds=True)
    page = " ".join(client.get(f"/runs/{run.slug}/").content.decode().split())
    assert "At 1 checkpoint some were not tested: they were made after it was read." in page
    assert "It is read once more; what is known of it stays." in page


def test_how_many_files_were_not_read_is_told_though_not_all_are_listed(client, run):
    fault = {"watch": run.watch, "signature": "x", "appeared": at(run, 0).appeared, "state": "failed", "error": "Half."}
    Checkpoint.objects.bulk_create(Checkpoint(path=f"/made/bad-{n}.pt", **fault) for n in range(23))
    page = client.get("/runs/").content.decode()
    assert "23 checkpoints were not read" in page and "The 20 found last:" in page and page.count("Half.") == 20
    Checkpoint.objects.filter(path__startswith="/made/bad-1").delete()
    assert "found last" not in client.get("/runs/").content.decode()


def test_the_page_of_all_runs_asks_no_more_for_more_runs(client, run, made_run):
    def asked():
        with CaptureQueriesContext(connection) as found:
            page = client.get("/runs/")
        swept = [(each["name"], each["label"]) for each in data_of(page, "runs-data")["sweep"]]
        assert swept == [(each.name, "4,000 tokens") for each in Run.objects.all()]
        return len(found)

    made_run(slug="second", created=run.created - timedelta(days=1))
    two = asked()
    for n in range(4):
        made_run(slug=f"more-{n}")
    assert asked() == two
