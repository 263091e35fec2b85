"""A disk that is full is said with the folders, what is free in them and what is needed."""

import errno
import re
from unittest.mock import patch

import pytest
from django.db import OperationalError

from features.jobs import leases
from features.jobs.requests import request_statistics
from features.jobs.worker import do, run_part
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
    assert job.state == "failed" and where in job.error and re.search(r"[\d.]+ .B in ", job.error)
    assert "it takes about" in job.error and "Make room" in job.error


def test_a_body_that_drips_is_given_up(monkeypatch):
    monkeypatch.setattr(whole_requests, "GRACE", -1)

    async def receive():
        return {"type": "http.request", "body": b"x", "more_body": True}

    with pytest.raises(TimeoutError, match="less than 16,384 bytes a second"):
        whole_requests.asyncio.run(whole_requests._replayed([], receive)())
