"""Two files of one step, steps that go back, a state that is a step: told, and the run's other checkpoints stay."""

from datetime import timedelta
from pathlib import Path

import pytest

from features.messages import BadRequest
from features.models import SAE, Checkpoint, Claim, Job
from features.runs import history, panels
from features.runs.intake import discovery, identity, overwritten, reading

pytestmark = pytest.mark.django_db


@pytest.fixture
def new(made_run, tiny):
    """new(step, hash) is a checkpoint of a made run of four, just read."""
    run = made_run()
    names = ["name", "model_path", "model_name", "hook_point", "format", "d_in", "d_sae", "corpus"]

    def make(step, weights="new", path="/made/new.pt"):
        own = {name: getattr(tiny, name) for name in names}
        sae = SAE.objects.create(
            slug=f"s{SAE.objects.count()}-{weights[:9]}", checkpoint_hash=weights, path=path, **own
        )
        appeared = run.in_order().last().appeared + timedelta(hours=1)
        return Checkpoint.objects.create(
            watch=run.watch, run=run, sae=sae, path=path, signature=weights, step=step, unit="tokens", appeared=appeared
        )

    return make


def test_two_files_of_one_step_are_told(new):
    second = new(2000)
    with pytest.raises(BadRequest, match="/made/new.pt says to be of 2,000 tokens, and so does /made/made/2000"):
        reading._refuse_second(second.run, second, identity.TrainingStep(2000, "tokens"), second.sae)
    reading._refuse_second(second.run, second, identity.TrainingStep(2500, "tokens"), second.sae)


def test_a_step_that_goes_back_is_told(new):
    back, on = new(2500), new(9000, path="/made/b.pt")
    (said,) = reading._backwards(back.run, back)
    assert said.startswith("2,500 tokens were written after 3,000") and reading._backwards(on.run, on) == []


def test_a_state_with_the_weights_of_a_step_is_that_step(new, tiny):
    state = new(None, weights=tiny.checkpoint_hash)
    assert reading._twin(state.run, state).step == 4000
    assert reading._twin(state.run, new(None, weights="others", path="/made/c.pt")) is None


def test_settings_of_a_run_leave_out_what_tells_its_checkpoints_apart():
    config = {"lr": 0.1, "trainer.k": 4, "metadata.training_tokens": 5, "n_training_samples": 7, "dtype": "float16"}
    assert identity.settings_of(config) == {"lr": 0.1, "trainer.k": 4}
    assert identity._first(config, identity.TOKEN_KEYS) == 7


def test_runs_of_one_folder_are_told_apart_by_their_names(new):
    run = new(100).run
    same = {"folder": run.folder, "watch": run.watch, "hook_point": run.hook_point, "d_in": run.d_in}
    names = [
        identity._name(same | change | {"d_sae": change.get("d_sae", run.d_sae)}, Path("/made"), config)
        for change, config in (({}, {"lr": 0.1}), ({"d_sae": 999}, {}), ({"hook_point": "blocks.9"}, {}))
    ]
    assert names == ["made/made, lr 0.1", "made/made, 999 features", "made/made, blocks.9"]


def test_only_the_newest_state_of_an_overwritten_file_stays(new, monkeypatch):
    path = "/made/last.pt"
    first, second, third = (new(None, weights, path) for weights in ("one", "two", "three"))
    for row, signature in ((first, "1"), (second, "2"), (third, "3")):
        Checkpoint.objects.filter(pk=row.pk).update(signature=signature, state="done")
        SAE.objects.filter(pk=row.sae_id).update(corpus=row.run.rows)
    Claim.objects.create(checkpoint_hash="two", index=1, says={"kind": "density"})
    overwritten.forget_before(third)
    there = SAE.objects.filter(path=path).values_list("checkpoint_hash", flat=True)
    assert list(third.watch.checkpoints.filter(path=path)) == [third] and set(there) == {"two", "three"}
    # One that waited while its files were overwritten is read as they are now, once.
    monkeypatch.setattr(discovery, "signature_of", lambda path: "3")
    late = new(None, "late", path)
    assert overwritten.is_superseded(late)
    monkeypatch.setattr(discovery, "signature_of", lambda path: "4")
    assert not overwritten.is_superseded(late) and Checkpoint.objects.get(pk=late.pk).signature == "4"


def test_what_no_name_says_the_step_of_stands_in_the_order_of_its_files(new):
    days = [new(None, weights, f"/made/{weights}.pt") for weights in ("monday", "tuesday")]
    Checkpoint.objects.filter(pk=days[1].pk).update(appeared=days[0].appeared + timedelta(hours=1))
    days[1].refresh_from_db()
    x = history.positions([days[0].run.in_order().last(), *days])
    assert x[0] == 4000 < x[1] < x[2] and days[0].label.startswith("monday.pt, 1 Nov 2026, 04:00")
    assert new(None, "a", "/made/last.pt").label == "newest state"


def test_panels_that_nobody_has_begun_for_what_was_the_newest_are_not_made(new, monkeypatch):
    made = [new(5000 + n, f"w{n}", f"/made/{n}.pt") for n in range(2)]
    for each in made:
        Checkpoint.objects.filter(pk=each.pk).update(state="done", measured=each.appeared)
        SAE.objects.filter(pk=each.sae_id).update(corpus=each.run.rows)
        Job.objects.create(sae=each.sae, tokens=10, requested_how="run")
    monkeypatch.setattr(panels, "request", lambda checkpoint: None)
    panels.settle(made[0].run)
    assert [job.sae for job in Job.objects.all()] == [made[1].sae]
    # Which is the last does not change with each that waits to be read.
    Checkpoint.objects.filter(pk=made[1].pk).update(state="running", measured=None)
    assert panels.keeps(made[1]) and made[0] not in panels.kept(made[0].run)
