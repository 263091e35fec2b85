"""Staff send files by a browser: bounded, below a configured folder, never half; first they see what the files are."""

import os
import time
from html import unescape
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from safetensors.torch import load_file, save_file

from features.models import Import
from tests.engine import small

from .. import checkpoints

pytestmark = pytest.mark.django_db
ADD, UPLOAD, JSON = "/admin/features/import/add/", "/admin/features/import/upload/", {"HTTP_ACCEPT": "application/json"}


@pytest.fixture
def root(tmp_path, settings, monkeypatch, client):
    settings.DATA_DIR = tmp_path / "data"
    settings.SAEVIZ_FOLDERS = [str(tmp_path / "open")]
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    client.force_login(get_user_model().objects.create_superuser("ada"))
    return tmp_path / "open"


@pytest.fixture
def sae(tmp_path):
    small.write_sae(tmp_path / "mine" / "run7")
    return tmp_path / "mine" / "run7"


def sent(*files, **more):
    return {"files": [SimpleUploadedFile(Path(file).name, Path(file).read_bytes()) for file in files], **more}


def left(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_files_are_kept_in_a_folder_of_their_own_and_looked_at(client, root, sae):
    answer = client.post(UPLOAD, sent(*sae.iterdir(), folder="Run 7!"), **JSON)
    assert left(root) == ["uploads/run-7/cfg.json", "uploads/run-7/sae_weights.safetensors"]
    page = unescape(client.get(answer.json()["url"]).content.decode())
    detected = page[page.index('id="detected"') : page.index('name="model"')]
    for told in (
        "Time: nobody knows before the first computation here. Memory: ",
        "saelens, standard",
        "relu",
        "24 → 40, stored as float32",
        "the files name small",
        small.HOOK,
    ):
        assert told in detected
    assert f'<option value="{root}/uploads/run-7" selected>uploads/run-7</option>' in page
    assert 'name="answer_model"' in page  # no such model is here: asked for before anything is sent
    assert client.post(UPLOAD, sent(*sae.iterdir(), folder="run 7")).url.endswith("run-7-2")


def test_where_files_go_is_said_where_there_are_none(client, root):
    page = client.get(ADD).content.decode()
    assert "There is no SAE to choose yet" in page and str(root) in page
    assert "There is no language model here yet" in page and not root.exists()


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["weights.pkl"], "weights.pkl is no file of an SAE: weights (.safetensors"),
        (["cfg.json"], "No weights came"),
        (["optimizer.pt"], "is no file of an SAE"),
        ([".hidden.pt"], "is no name for a file here"),
        (["a.pt", "a.pt"], "a.pt was sent twice"),
        (["../../../etc/a.pt", "b.txt"], "b.txt is no file of an SAE"),
    ],
)
def test_what_is_no_sae_is_not_kept(client, root, names, words):
    files = [SimpleUploadedFile(name, b"{}") for name in names]
    answer = client.post(UPLOAD, {"files": files}, **JSON)
    assert answer.status_code == 400 and words in answer.json()["error"]
    assert left(root) == [] and not list(root.glob(".incoming*"))


def test_size_is_bounded_before_and_while_it_comes(client, root, settings, sae):
    settings.SAEVIZ_MAX_UPLOAD = 1000
    said = client.post(UPLOAD, sent(sae / "sae_weights.safetensors"), **JSON).json()["error"]
    assert "KiB" not in said or "at most" in said or "More than" in said
    assert "(SAEVIZ_MAX_UPLOAD)" in said and left(root) == []
    big = {"files": SimpleUploadedFile("a.pt", bytes(200_000))}
    assert "The files have 195." in client.post(UPLOAD, big, **JSON).json()["error"]
    settings.SAEVIZ_MAX_UPLOAD = 0
    assert "switched off" in client.post(UPLOAD, sent(*sae.iterdir()), **JSON).json()["error"]
    assert 'id="upload"' not in client.get(ADD).content.decode() and left(root) == []


def test_without_room_on_the_disk_nothing_is_begun(client, root, sae, monkeypatch):
    from features.importing import uploads

    monkeypatch.setattr(uploads.shutil, "disk_usage", lambda folder: os.terminal_size((1, 1)) and _Usage())
    assert "has room for 10 bytes" in client.post(UPLOAD, sent(*sae.iterdir()), **JSON).json()["error"]


class _Usage:
    free = 10


def test_only_staff_with_their_own_form_may_send(root, sae):
    crossed, plain = Client(enforce_csrf_checks=True), Client()
    crossed.force_login(get_user_model().objects.get(username="ada"))
    plain.force_login(get_user_model().objects.create_user("bob", is_staff=True))
    assert crossed.post(UPLOAD, sent(*sae.iterdir())).status_code == 403
    assert plain.post(UPLOAD, sent(*sae.iterdir())).status_code == 403
    assert Client().post(UPLOAD, sent(*sae.iterdir())).status_code == 302
    assert left(root) == [] if root.exists() else True
    token = crossed.get(ADD).content.decode().split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]
    assert "uploads/sae-weights" in crossed.post(UPLOAD, sent(*sae.iterdir(), csrfmiddlewaretoken=token)).url.replace(
        "%2F", "/"
    ).replace("sae_weights", "sae-weights")


def test_what_a_killed_process_left_is_taken_away(client, root, sae):
    (root / ".incoming-old").mkdir(parents=True)
    os.utime(root / ".incoming-old", (time.time() - 2 * 86400,) * 2)
    (root / ".incoming-new").mkdir()
    client.post(UPLOAD, sent(*sae.iterdir()))
    assert [path.name for path in root.glob(".incoming*")] == [".incoming-new"]


def test_what_the_files_leave_open_is_asked_with_what_was_detected(client, root):
    files = checkpoints.write(root)
    (root / "bare").mkdir()
    save_file(load_file(Path(files.sae) / "sae_weights.safetensors"), root / "bare" / "x.safetensors")
    page = unescape(client.get(ADD, {"path": str(root / "bare")}).content.decode())
    assert "bare" in page and "24 → 40" in page and 'name="answer_apply_b_dec_to_input"' in page
    (root / "broken").mkdir()
    (root / "broken" / "ae.pt").write_text("version https://git-lfs.github.com/spec/v1\n")
    assert "is a Git LFS pointer" in client.get(ADD, {"path": str(root / "broken")}).content.decode()
    assert "is not below" in client.get(ADD, {"path": "/etc/passwd"}).content.decode()
    small.write_sae(root / "sparsify" / "layers.0")
    small.write_sae(root / "sparsify" / "layers.1")
    page = client.get(ADD, {"path": str(root / "sparsify")}).content.decode()
    assert 'name="answer_sae"' in page and '<option value="layers.1">' in page
    assert not Import.objects.exists()


def test_a_folder_that_only_looks_like_a_model_is_named(client, root):
    files = checkpoints.write(root)
    (Path(files.model) / "tokenizer.json").unlink()
    page = client.get(ADD).content.decode()
    assert f"{files.model} is not offered as a model: it has no tokenizer" in page
