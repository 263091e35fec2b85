"""Claims and findings are tested again at every checkpoint of a run, and what stops holding is told on its pages."""

import json

import pytest

from features.jobs import worker
from features.models import Checkpoint, CheckpointTest, Claim, Watch
from features.runs import quick_pass
from features.runs.claims import held
from features.runs.intake import watching

from .conftest import write_checkpoint

pytestmark = pytest.mark.django_db

FINDING = {"name": "n", "sentence": "s", "look_at": "l", "feature": 1}
KEPT, LOST = {"kind": "density", "between": [0, 1]}, {"kind": "density", "between": [1e-6, 1]}


def read(row):
    watching.look(row)
    worker.work({Checkpoint: quick_pass.run_checkpoint})


def test_a_claim_turns_grey_at_the_checkpoint_where_it_stops_holding(client, files, tmp_path):
    sae, training = tmp_path / "run1", tmp_path / "training"
    first = write_checkpoint(training / "100", sae)
    checks = [KEPT, LOST, {"kind": "helps", "nats": -100}, {"kind": "ends_with", "texts": [" "], "share": 0}]
    checks.append({"kind": "pattern", "pattern": "/./", "f1": 0})
    (first / "findings.json").write_text(json.dumps({"features": [FINDING | {"checks": checks}]}))
    row = Watch.objects.create(path=str(training), asked={"model": files.model, "corpus": files.text})
    read(row)
    write_checkpoint(training / "200", sae, silent=[1])
    read(row)
    first, second = Checkpoint.objects.order_by("step")
    assert first.state == second.state == "done", (first.error, second.error)
    assert Claim.objects.about(first.sae.checkpoint_hash).count() == Claim.objects.count() == 5
    at_first = {test.claim.says["kind"]: test for test in CheckpointTest.objects.filter(checkpoint=first)}
    assert all(test.holds for test in at_first.values()), [test.figure for test in at_first.values()]
    assert "nats" in at_first["helps"].figure and "F1" in at_first["pattern"].figure
    page = client.get(first.run.get_absolute_url()).content.decode()
    assert "Holds no longer since 200 tokens: 0.000% of tokens at 200 tokens." in page
    assert '<tr class="stopped">' in page and "Holds since 100 tokens" in page
    assert "Does not hold: 0.000% of tokens" in client.get(second.get_absolute_url()).content.decode()
    strip = client.get(f"/saes/{first.sae.slug}/features/1/training.json").json()["claims"]
    assert [claim["outcomes"] for claim in strip if claim["state"] == "stopped"] == [[True, False]] * 2
    assert {claim["state"] for claim in client.get(f"/runs/{first.run.slug}.json").json()["claims"]} >= {
        "stopped",
        "holds",
    }
    # What is claimed later is tested where it was not, when somebody asks for it.
    Claim.objects.create(checkpoint_hash=second.sae.checkpoint_hash, index=2, says=LOST)
    assert "At 2 checkpoints some were not tested" in client.get(first.run.get_absolute_url()).content.decode()
    assert client.post(f"/runs/{first.run.slug}/claims/").status_code == 403
    assert held.test_again(first.run) == 2
    worker.work({Checkpoint: quick_pass.run_checkpoint})
    assert CheckpointTest.objects.filter(claim__index=2, holds=True).count() == 2 and not held.untested(first.run)
