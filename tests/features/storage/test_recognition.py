"""Rows with a checkpoint hash of before are known by their files, once, and keep their statistics."""

import hashlib
import json
import shutil

import pytest

from features import tasks
from features.importing.register import register_sae
from features.jobs import doorbell
from features.models import SAE, Feature, Job, Statistics
from features.storage import recognition

from .. import shown

pytestmark = pytest.mark.django_db

WEIGHTS, CONFIG = b"weights", {"k": 32}
NOW = hashlib.sha256(WEIGHTS).hexdigest()
OLD = {  # of a folder `sae` with these two files, as commit a7716e1 named it
    "an import": "8bff9032bc0486bff037c8003bf8ff4b91ec6e37ccf3bcab14e24c1e1c0a372f",
    "the demo": "23346cdeef65a472d531ecc4b4b09c89013c1f2ad3d4072f3ca6f69a4c4aa1c3",
}


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "sae"
    folder.mkdir()
    (folder / "sae_weights.safetensors").write_bytes(WEIGHTS)
    (folder / "cfg.json").write_text(json.dumps(CONFIG))
    return folder


@pytest.fixture(params=OLD.values(), ids=OLD)
def old(request, folder, tmp_path):
    """An SAE with statistics as they were stored, which is encoder B of another."""
    sae = shown.shown_sae(tmp_path, path=str(folder), checkpoint_hash=request.param)
    other = shown.shown_sae(tmp_path, "other", encoder_b=sae, path=str(tmp_path / "nowhere"), checkpoint_hash="c0ffee")
    Statistics.objects.filter(sae=other).update(encoder_b=sae, encoder_b_hash=sae.checkpoint_hash)
    Statistics.objects.update(reading_hash="", encoder_b_reading_hash="")  # as a migration leaves them
    return sae


def register(sae, **changes):
    names = ("model_name", "hook_point", "format", "d_in", "d_sae")
    facts = {name: getattr(sae, name) for name in names} | changes
    return register_sae(sae.slug, sae.path, sae.model_path, sae.corpus, name=sae.name, facts=facts)


def all_is_of_today(sae, folder):
    """Whether rows of the SAE, its statistics and those it is encoder B of speak of its weights."""
    sae = SAE.objects.get(pk=sae.pk)
    own, other = Statistics.objects.get(sae=sae), Statistics.objects.get(sae__slug="other")
    assert sae.checkpoint_hash == own.checkpoint_hash == other.encoder_b_hash == NOW
    assert sae.reading_hash and sae.reading_hash == own.reading_hash == other.encoder_b_reading_hash
    assert (sae.statistics, other.checkpoint_hash) == (own, "c0ffee")
    return other.correlated_with(sae)


def test_registering_again_recognises_either_hash(old, folder):
    assert register(old).note == ""
    assert all_is_of_today(old, folder)


def test_a_worker_recognises_either_hash_when_it_starts(old, folder, monkeypatch):
    rung = []
    monkeypatch.setattr(doorbell, "ring", lambda: rung.append(True) or True)
    monkeypatch.setattr(tasks.connections, "close_all", lambda: None)  # the test's transaction goes on
    tasks.begin()
    assert rung
    tasks._catch_up_once.cache_clear()
    tasks.work()
    assert all_is_of_today(old, folder)


def test_old_rows_that_cannot_be_read_do_not_keep_a_worker_from_its_work(old, monkeypatch, caplog):
    done = []
    monkeypatch.setattr(recognition, "recognise_all", lambda: 1 / 0)
    monkeypatch.setattr(tasks.worker, "work", done.append)
    tasks._catch_up_once.cache_clear()
    tasks.work()
    assert done and "Rows of earlier versions are left as they are" in caplog.text


def test_a_moved_folder_is_recognised(old, folder, tmp_path):
    (tmp_path / "models").mkdir()
    old.path = str(folder.rename(tmp_path / "models" / "sae"))
    register(old)
    assert all_is_of_today(old, folder)


def test_files_that_are_away_are_recognised_when_they_are_back(client, old, folder, tmp_path):
    before = list(SAE.objects.values()), list(Statistics.objects.values())
    away = folder.rename(tmp_path / "away")
    recognition.recognise_all()
    assert (list(SAE.objects.values()), list(Statistics.objects.values())) == before
    assert "were computed with another" not in client.get(old.get_absolute_url()).content.decode()
    away.rename(folder)
    recognition.recognise_all()
    assert all_is_of_today(old, folder)


def test_other_weights_are_not_recognised(old, folder):
    (folder / "sae_weights.safetensors").write_bytes(b"weights of a later step")
    recognition.recognise_all()
    assert SAE.objects.get(pk=old.pk).checkpoint_hash == old.checkpoint_hash
    assert "those of another checkpoint" in register(old).note
    assert SAE.objects.get(pk=old.pk).statistics is None


def test_what_a_worker_computes_with_keeps_its_hash_until_it_is_done(old, folder):
    job = Job.objects.create(sae=old, tokens=960, state=Job.State.RUNNING)
    recognition.recognise_all()
    assert SAE.objects.get(pk=old.pk).checkpoint_hash == old.checkpoint_hash
    job.delete()
    recognition.recognise_all()
    assert all_is_of_today(old, folder)


# Of today


@pytest.fixture
def sae(folder, tmp_path):
    return shown.shown_sae(tmp_path, path=str(folder), **recognition.fingerprint(folder))


def test_findings_leave_the_statistics_as_they_are(sae, folder):
    (folder / "findings.json").write_text("{}")
    again = register(sae)
    assert (again.statistics, again.note) == (sae.statistics, "")


def test_a_moved_and_renamed_folder_keeps_its_statistics(sae, folder, tmp_path):
    sae.path = str(shutil.move(folder, tmp_path / "elsewhere"))
    assert register(sae).statistics == sae.statistics


@pytest.mark.parametrize("what", ["configs", "hook point"])
def test_another_reading_of_the_same_weights_is_said(sae, folder, what):
    (folder / "cfg.json").write_text(json.dumps({"k": 64} if what == "configs" else CONFIG))
    again = register(sae, **({} if what == "configs" else {"hook_point": "blocks.0.hook_mlp_out"}))
    assert again.statistics is None and again.checkpoint_hash == sae.checkpoint_hash
    assert "those of another reading of the same weights" in again.note and what in again.note


def test_other_weights_take_the_statistics_away(sae, folder):
    (folder / "sae_weights.safetensors").write_bytes(b"weights of a later step")
    again = register(sae)
    assert again.statistics is None and again.checkpoint_hash != sae.checkpoint_hash
    assert "those of another checkpoint" in again.note


def test_no_worker_is_woken_where_all_is_as_today(sae, monkeypatch):
    Feature.objects.update(encoder_norm=1.0)  # as if these weights could be read
    tasks._catch_up_once.__wrapped__()
    monkeypatch.setattr(doorbell, "ring", lambda: pytest.fail("rang"))
    tasks.begin()
