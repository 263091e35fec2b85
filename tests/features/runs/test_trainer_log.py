"""The trainer's own log lies beside our curves: read within bounds, over the run's steps, and told where not."""

import json

import pytest

from features.models import Run
from features.runs import trainer_log

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(made_run, tmp_path):
    made = made_run(checkpoints=4)
    (tmp_path / "logs" / "wandb" / "run-1").mkdir(parents=True)
    Run.objects.filter(pk=made.pk).update(folder=str(tmp_path / "logs"))
    made.refresh_from_db()
    return made


def test_curves_are_listed_and_laid_over_the_steps_of_the_run(client, run, tmp_path):
    folder = tmp_path / "logs"
    rows = [
        {"_step": n, "details": {"n_training_samples": 100 * n}, "losses": {"mse": 1 / n}, "on": True} for n in (1, 2)
    ]
    text = "\n".join([*map(json.dumps, rows), "{half", '{"_step": 3, "losses": {"mse": NaN}}'])
    (folder / "wandb" / "run-1" / "wandb-history.jsonl").write_text(text)
    (folder / "wandb" / "run-1" / "run-1.wandb").write_bytes(b"\x00")
    (folder / "metrics.csv").write_text("step,l0,<b>,note\n10,40,1,x\n20,30,,y\n")
    (folder / "text.jsonl").write_text('{"text": "no numbers"}\n')
    secret = tmp_path / "secret.csv"
    secret.write_text("step,password\n1,2\n")
    (folder / "link.csv").symlink_to(secret)
    address = f"/runs/{run.slug}/log.json"
    logs = {log["file"]: log for log in client.get(address).json()["logs"]}
    assert logs["metrics.csv"]["curves"] == ["<b>", "l0"] and logs["metrics.csv"]["unit"] == "steps"
    history = logs["wandb/run-1/wandb-history.jsonl"]
    assert history["unit"] == "tokens" and "losses/mse" in history["curves"] and "on" not in history["curves"]
    assert history["notes"] == ["1 of its lines are no objects of JSON and are left out."]
    assert "out of the run" in logs["link.csv"]["notes"][0] and not logs["link.csv"]["curves"]
    assert "Only wandb reads" in logs["wandb/run-1/run-1.wandb"]["notes"][0] and "text.jsonl" not in logs
    found = client.get(address, {"file": history["file"], "name": "losses/mse"}).json()
    assert (found["x"], found["values"], found["note"]) == ([100, 200], [1, 0.5], "")
    found = client.get(address, {"file": "metrics.csv", "name": "l0"}).json()
    # The run's last checkpoint is at 4,000 tokens.
    assert found["x"] == [2000, 4000] and "its last one, 20, is laid at the last checkpoint" in found["note"]
    assert client.get(address, {"file": "link.csv", "name": "password"}).status_code == 404
    assert f'data-log="{address}"' in client.get(f"/runs/{run.slug}/").content.decode()


def test_logs_beside_the_run_are_found_as_far_as_folders_allow(run, tmp_path, settings):
    Run.objects.filter(pk=run.pk).update(folder=str(tmp_path / "project" / "checkpoints" / "abc"))
    run.refresh_from_db()
    settings.SAEVIZ_FOLDERS = [str(tmp_path / "project")]
    project = tmp_path / "project"
    (project / "wandb" / "run-1" / "files").mkdir(parents=True)
    (project / "checkpoints" / "abc").mkdir(parents=True)
    (project / "wandb" / "run-1" / "files" / "wandb-history.jsonl").write_text('{"_step": 1, "mse": 2}')
    for folder in (project / "checkpoints", project / "other", tmp_path):
        folder.mkdir(exist_ok=True)
        (folder / "log.csv").write_text("step,l0\n1,2\n")
    found = {log.path: log.notes for log in trainer_log.logs_of(run)}
    assert list(found) == ["../log.csv", "../../wandb/run-1/files/wandb-history.jsonl"]
    assert f"It lies in {project / 'checkpoints'}, outside the run's folder" in found["../log.csv"][0]
    settings.SAEVIZ_FOLDERS = []
    assert not trainer_log.logs_of(run)


def test_a_log_without_end_is_read_within_bounds(run, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer_log, "MOST_BYTES", 2000)
    monkeypatch.setattr(trainer_log, "MOST_SERIES", 3)
    monkeypatch.setattr(trainer_log, "MOST_POINTS", 10)
    lines = [json.dumps({"step": n, "a": n, "b": n, "c": n, "d": n}) for n in range(1000)]
    (tmp_path / "logs" / "log.jsonl").write_text("\n".join(lines))
    (tmp_path / "logs" / "deep.jsonl").write_text("[" * 10_000)
    deep, log = trainer_log.logs_of(run)
    assert sorted(log.curves) == ["a", "b", "c"] and len(log.curves["a"]) <= 10
    assert "the first 2.0 KiB are read" in " ".join(log.notes) and "more than 3 columns" in " ".join(log.notes)
    assert "no objects" in " ".join(deep.notes)
