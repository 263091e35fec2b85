"""A disk that is full is said with the folders, what is free in them and what is needed."""

import errno
import html
import re
import resource
from contextlib import contextmanager
from unittest.mock import patch

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError

from features.browse import views
from features.jobs import leases
from features.jobs.requests import request_statistics
from features.jobs.worker import do, run_part
from features.judge import keep
from features.runs.intake import uploads
from saeviz.serving import whole_requests

FULL = [
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EDQUOT, "Disk quota exceeded", "/nowhere/at/all/file"),
    OperationalError("database or disk is full"),
    OSError("12345 requested and 0 written"),
]


@pytest.mark.django_db
@pytest.mark.parametrize("error", FULL, ids=str)
def test_a_full_disk_is_said_with_what_is_free_and_needed(tiny, sent, error, settings):
    job = request_statistics(tiny)
    with patch.dict("features.jobs.worker.STAGES", {0: lambda lease: (_ for _ in ()).throw(error)}):
        do(leases.claim(job), run_part)
    job.refresh_from_db()
    named = getattr(error, "filename", None)
    where = "/nowhere/at/all" if named else str(settings.SAEVIZ_SHARDS)
    assert job.state == "failed" and where in job.error and re.search(r"[\d.]+ .iB in ", job.error)
    assert "it takes about" in job.error and "Make room" in job.error


def test_a_body_that_drips_is_given_up(monkeypatch):
    monkeypatch.setattr(whole_requests, "GRACE", -1)

    async def receive():
        return {"type": "http.request", "body": b"x", "more_body": True}

    with pytest.raises(TimeoutError, match="less than 16,384 bytes a second"):
        whole_requests.asyncio.run(whole_requests._replayed([], receive)())


@contextmanager
def files_up_to(size):
    """No file may grow beyond: what the system says then is what it says of a full disk, but for its number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.django_db
def test_uploads_without_room_say_so_and_leave_nothing(client, admin_client, settings, tmp_path):
    settings.DATA_DIR, settings.SAEVIZ_FOLDERS = tmp_path / "data", [str(tmp_path / "files")]
    settings.DATA_DIR.mkdir()
    bearer = {"Authorization": f"Bearer {uploads.make_token('night', {})}"}
    with files_up_to(1 << 16):
        put = client.put("/runs/upload/5/sae.pt", b"x" * 100_000, "application/octet-stream", headers=bearer)
        file = SimpleUploadedFile("sae.pt", b"x" * 100_000)
        sent = admin_client.post("/admin/features/import/upload/", {"files": file}, HTTP_ACCEPT="application/json")
    for answer, status, folder in ((put, 507, settings.DATA_DIR / "runs" / "night"), (sent, 400, tmp_path / "files")):
        told = answer.json()["error"]
        assert answer.status_code == status and re.search(
            rf"full: [\d.]+ .iB in {folder} free; it takes about 97.[78] KiB", told
        )
        assert "kept" in told and not [path for path in folder.rglob("*") if path.is_file()]
    whole = client.post("/runs/upload/5/", headers=bearer)
    assert whole.status_code == 400 and "No weights of step 5 have come" in whole.json()["error"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "error, status, words",
    [
        ("database or disk is full", 507, "free. Make room (manage.py kept); retry. What was sent is not kept"),
        ("disk I/O error", 507, "is full, over a quota, or fails"),
        ("database is locked", 503, "Others wrote into the database for too long."),
        ("connection to server at 10.0.0.1 failed: Connection refused", 503, "The database does not answer."),
        ("no such table: features_judgement", 500, "Something broke on the server."),
    ],
)
def test_what_a_request_cannot_write_is_said_in_a_sentence(client, tiny, monkeypatch, settings, error, status, words):
    settings.SAEVIZ_LOCAL_READER = True
    client.raise_request_exception = False
    monkeypatch.setattr(keep, "change", lambda *_: (_ for _ in ()).throw(OperationalError(error)))
    change = {"changes": {"label": "night"}, "revision": 0}
    answer = client.post(f"/saes/{tiny.slug}/labels/3.json", change, "application/json")
    assert answer.status_code == status and words in answer.json()["error"]
    monkeypatch.setattr(views, "sae_or_404", lambda *_, **__: (_ for _ in ()).throw(OperationalError(error)))
    page = client.get("/saes/tiny/")
    assert page.status_code == status and answer.headers.get("Retry-After") == ("5" if status == 503 else None)
    assert (words in html.unescape(page.content.decode())) == (status != 500)
