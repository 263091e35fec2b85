"""Checkpoints of a folder become a run: in their order, on the same rows, health first; what is wrong is told."""

import resource
import shutil

import numpy as np
import pytest

from features.engine.training.turnover import turnover
from features.messages import sentence
from features.models import SAE, Checkpoint, Job, Run, Watch
from features.runs import panels, records
from features.runs.intake import watching
from saeviz import celery

from .conftest import age, watch, write_checkpoint

pytestmark = pytest.mark.django_db


def test_a_folder_of_checkpoints_is_a_run(files, training, capsys):
    (training / "600").mkdir()
    (training / "600" / "sae_weights.safetensors").write_bytes(b"\x08damaged")
    shutil.copytree(training / "800", training / "copy" / "800")
    (training / "last.safetensors").write_bytes((training / "400" / "sae_weights.safetensors").read_bytes())
    for folder in (training / "600", training / "copy" / "800"):
        age(folder)
    watch(files, training)
    run = Run.objects.get(folder=str(training))
    assert [each.label for each in records.with_records(run)] == [
        "100 tokens",
        "200 tokens",
        "400 tokens",
        "800 tokens",
    ]
    # All on the same rows, with panels of the first and the last.
    assert run.rows.tokens >= 600 and run.seed == 0 and "with seed 0" in run.rows.notes[0]
    assert {each.sae.corpus for each in run.in_order()} == {run.rows}
    shown = [each.sae.statistics and each.sae.statistics.tokens for each in run.in_order()]
    assert shown == [run.rows.tokens, None, None, run.rows.tokens]
    assert not SAE.objects.standing_alone().filter(checkpoints__run=run).exists()
    # Born and died on those rows; decoders as before, though the newest was read first.
    found = turnover(records.counts_of(records.with_records(run)))
    assert np.argwhere(found.born).tolist() == [[1, 1]]
    assert [2, 5] in np.argwhere(found.died).tolist() and [3, 5] in np.argwhere(found.revived).tolist()
    assert records.history(records.with_records(run), 7)["before"][1:] == pytest.approx(1, abs=1e-3)
    # A damaged file is told and skipped, two files of one step are told.
    damaged = Checkpoint.objects.get(path=str(training / "600"))
    assert damaged.state == "failed" and "sae_weights.safetensors" in damaged.error


def test_a_file_is_read_when_nobody_writes_it_any_more(files, training, monkeypatch):
    folder = write_checkpoint(training / "900", training.parent / "run1")
    age(folder, 0)
    row = Watch.objects.create(path=str(training))
    assert {each.path for each in watching.look(row)} == {str(training / n) for n in ("100", "200", "400", "800")}
    assert [each.path for each in watching.look(row)] == [str(folder)]
    assert watching.look(row) == []


def test_a_folder_that_goes_is_told_and_what_was_read_stays(files, training):
    row = Watch.objects.create(path=str(training))
    watching.look(row)
    shutil.rmtree(training)
    watching.look(row)
    row.refresh_from_db()
    assert str(training) in row.problem and "bring the folder back" in row.problem
    assert row.checkpoints.count() == 4


def test_a_rule_thins_a_long_run_and_is_told(files, training):
    for step in range(1000, 1010):
        write_checkpoint(training / str(step), training.parent / "run1")
    row = Watch.objects.create(path=str(training), every=5)
    steps = sorted(each.step for each in watching.look(row))
    row.refresh_from_db()
    assert steps == [100, 1001, 1006, 1009] and "4 of 14" in row.note


def test_the_demo_waits_until_nothing_else_is_to_be_computed(tiny, training):
    row = Watch.objects.create(path=str(training), patient=True)
    watching.look(row)
    job = Job.objects.create(sae=tiny, tokens=10)
    assert not Checkpoint.objects.waiting().exists()
    Job.objects.update(requested_how="run")
    assert Checkpoint.objects.waiting().count() == 4
    job.delete()
    assert [each.step for each in Checkpoint.objects.waiting()] == [800, 400, 200, 100]


def test_first_last_every_tenth_and_starred_keep_their_panels(made_run):
    run = made_run(checkpoints=25)
    every = list(run.in_order())
    Checkpoint.objects.filter(pk=every[3].pk).update(starred=True)
    assert [every.index(each) for each in panels.kept(run)] == [0, 3, 10, 20, 24]


def test_workers_keep_within_what_the_settings_leave_them(settings, monkeypatch):
    told = []
    monkeypatch.setattr("os.nice", told.append)
    monkeypatch.setattr("resource.setrlimit", lambda *limit: told.append(limit))
    celery.give_way()
    settings.SAEVIZ_NICE, settings.SAEVIZ_MEMORY = 19, 3 << 30
    celery.give_way()
    assert told == [19, (resource.RLIMIT_DATA, (3 << 30, 3 << 30))]


def test_what_needs_more_memory_than_a_worker_may_take_says_so():
    # As torch 2.9 says it below RLIMIT_DATA.
    torch = "[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory: you tried"
    assert "Out of memory." in sentence(RuntimeError(torch)) and "SAEVIZ_MEMORY" in sentence(RuntimeError(torch))
    assert sentence(RuntimeError("other")) == "RuntimeError: other"


def test_two_processes_that_look_at_once_queue_a_checkpoint_once(files, training, monkeypatch):
    row = Watch.objects.create(path=str(training))
    known = watching._thinned

    def meanwhile(*arguments):
        monkeypatch.setattr(watching, "_thinned", known)
        watching.look(row)  # the other one is quicker
        return known(*arguments)

    monkeypatch.setattr(watching, "_thinned", meanwhile)
    assert watching.look(row) == [] and row.checkpoints.count() == 4
