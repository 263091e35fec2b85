"""Where links lead, what is no file, and names that are no text: told or refused, and never waited for."""

import logging
import os
import shutil
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model

from features.engine.corpus.errors import CorpusError
from features.engine.files import sha256
from features.engine.foreign_files import Unreadable
from features.engine.model.config import ModelError
from features.engine.model.language_model import load_model
from features.importing import corpora, folders
from features.importing.plan import plan_import
from features.importing.request import ImportRequest
from features.jobs import leases, worker
from features.models import Checkpoint, Import, Watch
from features.runs.intake import reading, watching

from .. import checkpoints

pytestmark = pytest.mark.django_db
ADD = "/admin/features/import/add/"


@pytest.fixture
def files(tmp_path, settings, sent, monkeypatch):
    settings.DATA_DIR = tmp_path / "data"
    settings.SAEVIZ_FOLDERS = [str(tmp_path / "open")]
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    return checkpoints.write(tmp_path / "open")


def elsewhere(file: Path, tmp_path) -> Path:
    """The file itself in another folder, and a link in its place."""
    moved = tmp_path / "closed" / file.name
    moved.parent.mkdir(exist_ok=True)
    shutil.move(file, moved)
    file.symlink_to(moved)
    return moved


@pytest.mark.parametrize("name", ["sae_weights.safetensors", "cfg.json"])
def test_a_link_inside_a_folder_leads_no_further_than_the_folder(client, files, tmp_path, name):
    link = Path(files.sae) / name
    moved = elsewhere(link, tmp_path)
    said = (
        f"{link} is a link to {moved}, which is not below {tmp_path}/open. Move it there, or add its folder to SAEVIZ_"
    )
    client.force_login(get_user_model().objects.create_superuser("ada"))
    asked = {"path": files.sae, "model": files.model, "corpus": ""}
    assert said in client.post(ADD, asked).content.decode()
    assert said in client.get(ADD, {"path": files.sae}).content.decode()
    checkpoint = Checkpoint(watch=Watch(path=files.folder, restricted=True), path=files.sae)
    with pytest.raises(folders.Outside, match="is a link to"):
        reading.read(checkpoint, print)
    # Whoever asks in a shell chooses, and is told.
    planned = plan_import(ImportRequest(files.sae, files.model, corpus=files.text))
    assert f"{link} is a link to {moved}." in planned.notes


def test_a_model_whose_tokenizer_lies_elsewhere_is_not_offered(client, files, tmp_path):
    moved = elsewhere(Path(files.model) / "tokenizer.json", tmp_path)
    client.force_login(get_user_model().objects.create_superuser("ada"))
    page = client.get(ADD).content.decode()
    assert f'<option value="{files.model}">' not in page
    assert f"is not offered as a model: {files.model}/tokenizer.json is a link to {moved}, which is not below" in page
    with pytest.raises(ValueError, match="No language model"):
        plan_import(ImportRequest(files.sae, files.model, corpus=files.text), restricted=True)


def test_a_snapshot_of_the_hub_leads_into_the_blobs_of_its_own_repository_alone(files, settings, tmp_path):
    def repository(name, blob):
        snapshot = tmp_path / "hub" / name / "snapshots" / "abc"
        snapshot.mkdir(parents=True)
        (tmp_path / "hub" / name / "blobs").mkdir()
        (tmp_path / "hub" / name / "blobs" / "1f").write_text("x")
        (snapshot / "ae.pt").symlink_to(blob)
        return snapshot

    own = repository("models--ada--saes", "../../blobs/1f")
    other = repository("models--eve--saes", "../../../models--ada--saes/blobs/1f")
    turned = repository("models--mal--saes", "../../blobs/1f")
    shutil.rmtree(tmp_path / "hub" / "models--mal--saes" / "blobs")
    (tmp_path / "hub" / "models--mal--saes" / "blobs").symlink_to(own.parents[1] / "blobs")
    settings.SAEVIZ_FOLDERS = [str(own), str(other), str(turned)]
    assert folders.inside(own / "ae.pt") == own / "ae.pt"
    for snapshot in (other, turned):
        with pytest.raises(folders.Outside, match="SAEVIZ_FOLDERS"):
            folders.inside(snapshot / "ae.pt")
    assert folders.links_led([own / "ae.pt"]) == []


def test_where_links_of_a_corpus_lead_is_said(files, tmp_path):
    folder = files.folder / "texts"
    folder.mkdir()
    (folder / "a.txt").symlink_to(files.text)
    assert f"{folder}/a.txt is a link to {files.text}." in corpora.build(folder, files.model).notes


def test_what_is_no_file_is_refused_and_never_waited_for(files, tmp_path):
    pipe = tmp_path / "a.bin"
    os.mkfifo(pipe)
    (tmp_path / "zeros.txt").symlink_to("/dev/zero")
    for path in (pipe, tmp_path / "zeros.txt"):
        with pytest.raises(Unreadable, match="is no regular file"):
            sha256(path)
        with pytest.raises(CorpusError, match="is neither a file nor a folder"):
            corpora.build(path, files.model)
    os.mkfifo(Path(files.model) / "more.safetensors")
    with pytest.raises(ModelError, match="more.safetensors is no regular file"):
        load_model(files.model, "cpu")


def test_a_name_that_is_no_text_stops_no_watch_and_no_row(files, caplog):
    caplog.set_level(logging.CRITICAL, "features.jobs.worker")  # pytest's processes can send each other text alone
    odd = Path(os.fsdecode(os.fsencode(files.folder) + b"/\xff"))
    shutil.copytree(files.sae, odd)
    (odd.parent / "texts").mkdir()
    shutil.copy(files.text, os.fsdecode(os.fsencode(odd.parent / "texts") + b"/\xe9.txt"))
    watch = Watch.objects.create(path=str(files.folder))
    watching.look(watch)
    assert {Path(row.path).name for row in watch.checkpoints.all()} <= {"run1", "sae_weights.safetensors"}
    built = corpora.build(odd.parent / "texts", files.model).register()
    assert list(built.kinds) == ["\\udce9"]
    row = Import.objects.create(path="x", state="queued")

    def fail(lease):
        raise CorpusError(f"{odd} is odd.")

    worker.do(leases.claim(row), fail)
    row.refresh_from_db()
    assert row.state == "failed" and row.error.endswith("\\udcff is odd.")
