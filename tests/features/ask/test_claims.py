"""Claims about features: made by readers and findings, tested by every computation, kept when statistics go."""

import json

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.test import Client

from features.models import SAE, Claim, ClaimTest, Feature, KeptActivations, Statistics
from features.patterns import claims

from .. import shown
from .conftest import PRINT, SCRIPT
from .test_ask import text_of

PATTERN = "token(/script/)"
ADDRESS = f"/saes/tiny/features/{SCRIPT}/claims/"


@pytest.fixture
def reader(asked):
    user = User.objects.create_superuser("ada", password="x")
    client = Client()
    client.force_login(user)
    return client


def claims_of(client, index=SCRIPT):
    return client.get(f"/saes/tiny/features/{index}.json").json()["claims"]


def test_a_pattern_is_claimed_by_who_may_and_listed_with_its_scores(client, asked, reader):
    sae, dense, text, labels = asked
    assert client.post(ADDRESS, {"q": PATTERN}).status_code == 403
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.get())
    assert strict.post(ADDRESS, {"q": PATTERN}).status_code == 403 and not Claim.objects.exists()
    made = reader.post(ADDRESS, {"q": PATTERN, "note": "tags <b>"})
    assert made.status_code == 201
    (claim,) = claims_of(client)
    held, active = np.char.find(labels, "script") >= 0, dense[:, SCRIPT] != 0
    f1 = 2 * (held & active).sum() / (held.sum() + active.sum())
    assert claim["stated"]["f1"] == pytest.approx(f1) and claim["stated"]["tokens"] == text.counted.sum()
    assert claim["says"]["f1"] == pytest.approx(0.9 * f1, abs=1e-3) and claim["says"]["f1"] <= 0.9 * f1 + 1e-9
    assert claim["test"]["holds"] and claim["author"] == "ada" and claim["note"] == "tags <b>"
    assert not claim["may_remove"] and claims_of(reader)[0]["may_remove"]
    assert client.get("/saes/tiny/claims.json").json()["claims"][0]["words"].startswith(f"goes with {PATTERN}")
    listed = text_of(reader.get("/admin/features/claim/"))
    assert f"goes with {PATTERN}" in listed and "yes: F1" in listed


def test_what_cannot_be_claimed_says_why(reader):
    for query, said in (
        ({"q": "zebra"}, "active on none of the 0 tokens"),
        ({"q": "a and ("}, "at character 8"),
        ({"q": PATTERN, "note": "x" * 1001}, "The note has 1,001 characters; 1,000 are kept."),
        ({"q": PATTERN, "from": "much"}, "no threshold"),
    ):
        answer = reader.post(ADDRESS, query)
        assert answer.status_code == 400 and said in answer.json()["error"]
    reader.post(ADDRESS, {"q": PATTERN})
    assert "claimed of the feature already" in reader.post(ADDRESS, {"q": PATTERN}).json()["error"]
    assert reader.post(ADDRESS, {"q": PATTERN, "from": "q0.9", "page": 1}).status_code == 302
    assert reader.post("/saes/tiny/features/99/claims/", {"q": PATTERN}).status_code == 404


def test_a_claim_is_removed_by_its_author(client, asked, reader):
    id = reader.post(ADDRESS, {"q": PATTERN}).json()["claim"]
    assert client.post(f"/saes/tiny/claims/{id}/remove/").status_code == 403
    assert reader.post(f"/saes/tiny/claims/{id}/remove/").json()["claims"] == []
    assert not Claim.objects.exists()


def test_a_claim_outlives_statistics_and_turns_false_where_its_f1_is_gone(client, asked, reader):
    """The new set has the same text, but the claimed pattern's feature is another one there."""
    sae, *_ = asked
    reader.post(ADDRESS, {"q": PATTERN})
    before = sae.statistics
    claim = Claim.objects.get()
    Claim.objects.filter(pk=claim.pk).update(index=PRINT)  # as if feature 5's activations had become feature 2's
    (test,) = claims.test_claims(before)
    assert test.holds is False and test.scores["hits"] == 0
    told = claims_of(client, PRINT)[0]
    assert told["test"]["holds"] is False and told["stated"]["f1"] > told["test"]["scores"]["f1"] == 0
    shown.store(sae, shown.Collected(size=shown.COMPUTED))
    assert not Statistics.objects.filter(pk=before.pk).exists() and not ClaimTest.objects.exists()
    told = claims_of(client, PRINT)[0]
    assert told["test"] is None and told["stated"]
    assert claims.untested() == [sae]
    claims.test_untested()
    assert claims.untested() == []
    told = claims_of(client, PRINT)[0]
    assert told["test"]["holds"] is None and "kept no activations" in told["test"]["figure"]


def test_kept_activations_that_are_gone_leave_claims_with_the_reason(client, asked, reader):
    reader.post(ADDRESS, {"q": PATTERN})
    KeptActivations.objects.update(manifest="", why_not="They were freed. Recompute to have them again.")
    claims.test_claims(asked[0].statistics)
    (claim,) = claims_of(client)
    assert claim["test"]["holds"] is None and "They were freed." in claim["test"]["figure"]
    assert "They were freed." in reader.post(ADDRESS, {"q": "print"}).json()["error"]


def test_checks_of_findings_are_claims_and_follow_their_file(client, db, tmp_path):
    sae = shown.sae_in_a_folder(tmp_path)
    file = tmp_path / "checkpoint" / "findings.json"
    top = Feature.objects.get(index=0).top_logit

    def write(*checks):
        words = {"name": "n", "sentence": "s", "look_at": "l"}
        file.write_text(json.dumps({"features": [{"feature": 0, "checks": checks, **words}]}))

    boosts, pattern = {"kind": "boosts", "token": top, "rank": 1}, {"kind": "pattern", "pattern": "a", "f1": 0.5}
    write(boosts, {"kind": "density", "between": [0.9, 1]})
    assert [claim["test"] for claim in claims_of(client, 0)] == [None, None]  # at the next page, before any test
    claims.test_untested()
    assert [claim["test"]["holds"] for claim in claims_of(client, 0)] == [True, False]
    write(boosts, pattern)
    assert [(claim["says"]["kind"], bool(claim["test"])) for claim in claims_of(client, 0)] == [
        ("boosts", True),
        ("pattern", False),
    ]
    assert claims.untested() == [SAE.objects.get(pk=sae.pk)]
    claims.test_untested()
    assert [claim["test"]["holds"] for claim in claims_of(client, 0)] == [True, None]
    assert Claim.objects.count() == 2
    file.write_text("{")
    claims.test_untested()
    assert Claim.objects.count() == 2  # what cannot be read takes nothing away
