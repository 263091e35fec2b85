"""A backup holds all that was found, computed and judged, and gives it back; what was moved is found again."""

import json
import shutil
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command

from features.importing import register
from features.models import SAE, Corpus, Feature, GradingAnswer, GradingSample, Job, KeptActivations
from features.storage import relocation
from saeviz.backup import archive, files, rows
from saeviz.running import first_start
from tests import made_up
from tests.features.shown import store

pytestmark = pytest.mark.django_db


@pytest.fixture
def data(settings, tmp_path):
    settings.DATA_DIR = tmp_path / "data"
    return settings.DATA_DIR


def everything():
    return {model._meta.label: list(rows.lines(model)) for model in rows.tables(apps)}


def test_what_was_lost_comes_back_row_for_row_with_its_files(data, tiny, sent, tmp_path, django_user_model):
    store(tiny, made_up.Collected())
    django_user_model.objects.create_superuser("ada", password="x")
    tokens = Path(tiny.corpus.path).read_bytes()
    before, file = everything(), tmp_path / "backup.zip"
    call_command("backup", file)
    assert file.stat().st_mode & 0o077 == 0
    with pytest.raises(CommandError, match="has 1 SAEs already. With --replace"):
        call_command("restore", file)
    Path(tiny.corpus.path).unlink()
    Feature.objects.all().delete()
    SAE.objects.create(slug="new", corpus=tiny.corpus, d_in=1, d_sae=1)
    call_command("restore", file, replace=True)
    corpus = Corpus.objects.get()
    assert Path(corpus.path).is_relative_to(data) and Path(corpus.path).read_bytes() == tokens
    Corpus.objects.update(path=tiny.corpus.path)  # all else is as it was
    after = everything()
    assert {name for name in before if before[name] != after.get(name)} == set()
    assert len(before["features.FeaturePayload"]) == 8 and before["auth.User"]


def test_work_that_ran_then_waits_and_activations_that_were_left_out_are_said_to_be(data, tiny, sent, tmp_path):
    statistics = store(tiny, made_up.Collected())
    KeptActivations.objects.update_or_create(statistics=statistics, defaults={"folder": "1-0badcafe", "manifest": "m"})
    Job.objects.create(sae=tiny, tokens=9, state="running", attempts=2, inputs="halves")
    archive.write(tmp_path / "backup.zip")
    archive.read(tmp_path / "backup.zip", replace=True)
    job, kept = Job.objects.get(tokens=9), KeptActivations.objects.get()
    assert (job.state, job.attempts, job.inputs) == ("queued", 0, "")
    assert kept.folder == "" and "not in the backup" in kept.why_not


def changed(file, target, name, instead):
    with zipfile.ZipFile(file) as before, zipfile.ZipFile(target, "w") as after:
        for member in before.namelist():
            after.writestr(member, instead if member == name else before.read(member))
    return target


def test_a_damaged_or_newer_backup_changes_no_row(data, tiny, tmp_path):
    whole = tmp_path / "backup.zip"
    archive.write(whole)
    with zipfile.ZipFile(whole) as opened:
        manifest = json.loads(opened.read(archive.MANIFEST))
    newer = manifest | {"migrations": {"features": ["0999_of_tomorrow"]}}
    wrong = [
        (changed(whole, tmp_path / "1", "rows/features.SAE.jsonl", b"[]\n"), "the rows of features.SAE are others"),
        (
            changed(whole, tmp_path / "2", archive.MANIFEST, json.dumps(newer)),
            "newer version .features.0999_of_tomorrow",
        ),
        (changed(whole, tmp_path / "3", "corpora/tiny/tiny.npy", b"other"), "corpora/tiny/tiny.npy is another"),
    ]
    (tmp_path / "4").write_bytes(whole.read_bytes()[:2000])
    for file, told in [*wrong, (tmp_path / "4", "damaged or no backup")]:
        with pytest.raises(CommandError, match=told):
            call_command("restore", file, replace=True)
    assert SAE.objects.get().slug == "tiny"
    for name in ("corpora/../../x", "/etc/passwd", "other/x", "corpora/..", "corpora/a\\..\\b"):
        with pytest.raises(ValueError, match="none of a backup"):
            files.place(name)


def test_a_data_folder_that_was_moved_is_found_by_names_and_checksums(data, tiny, settings, tmp_path):
    old = tmp_path / "old" / "corpora" / "a.npy"
    old.parent.mkdir(parents=True)
    shutil.copy(tiny.corpus.path, old)
    Corpus.objects.update(path=str(old), sha256=register.sha256(old))
    shutil.move(tmp_path / "old", data)
    (said,) = relocation.relocate()
    assert said == f"tiny: {old} is {data / 'corpora' / 'a.npy'} now."
    assert Corpus.objects.get().path == str(data / "corpora" / "a.npy") and relocation.relocate() == []
    other = data / "corpora" / "a.npy"
    Corpus.objects.update(path=str(old))
    other.write_bytes(other.read_bytes() + b"x")  # another file of that name is not taken for it
    assert relocation.relocate() == []


def test_an_sae_of_another_checkout_keeps_its_statistics(data, tiny, settings, tmp_path):
    demo = settings.BASE_DIR / "features" / "demo"
    elsewhere = tmp_path / "checkout" / "demo" / "model"
    elsewhere.mkdir(parents=True)
    for file in (demo / "model").iterdir():
        (elsewhere / file.name).symlink_to(file)
    hashes = register.recognition.fingerprint(demo / "sae")
    SAE.objects.update(**hashes, provenance={"model_hash": relocation.verdicts.model_hash(demo / "model")})
    statistics = store(SAE.objects.get(), made_up.Collected())
    facts = {"hook_point": tiny.hook_point, "d_in": 1024, "d_sae": 8, **hashes}
    sae = register.register_sae("tiny", demo / "sae", elsewhere, tiny.corpus, name="Tiny", facts=facts)
    assert (sae.statistics_id, sae.note, sae.model_path) == (statistics.pk, "", str(elsewhere))
    (elsewhere / "model.safetensors").unlink()
    (elsewhere / "model.safetensors").write_bytes(b"of another model")
    register.register_sae("tiny", demo / "sae", demo / "model", tiny.corpus, name="Tiny", facts=facts)
    SAE.objects.update(provenance={"model_hash": "of the one before"})
    sae = register.register_sae("tiny", demo / "sae", elsewhere, tiny.corpus, name="Tiny", facts=facts)
    assert sae.statistics_id is None and "the language model" in sae.note


def test_a_start_asks_again_where_statistics_were_those_of_other_weights(tiny, sent):
    Job.objects.create(sae=tiny, tokens=9, state="done")
    first_start.request_first_statistics()
    assert Job.objects.newest_first().first().state == "queued"
    Job.objects.newest_first().first().delete()
    Job.objects.create(sae=tiny, tokens=9, state="cancelled")
    first_start.request_first_statistics()
    assert Job.objects.newest_first().first().state == "cancelled"


def test_when_something_was_said_comes_back_as_it_was(db):
    sample = GradingSample.objects.create(seed=1, saes=[], items=[])
    answer = GradingAnswer.objects.create(sample=sample, grader="ann", number=0)
    GradingAnswer.objects.update(changed=datetime(2020, 1, 2, tzinfo=UTC))
    before, names = list(rows.lines(GradingAnswer)), rows.columns(GradingAnswer)
    GradingAnswer.objects.all().delete()
    assert rows.load(GradingAnswer, names, iter(before)) == 1
    assert list(rows.lines(GradingAnswer)) == before
    answer.save()  # from then on it is the moment of a change again
    assert GradingAnswer.objects.get().changed.year > 2020
