"""No address answers a request with a 500, whatever its parameters say."""

import os

import pytest

from features import runtime
from features.models import Job
from tests.features.ask.conftest import with_kept

from . import fuzz


def answers(client, requests):
    """(request, status) of each; the whole of a streamed answer is read."""
    for request in requests:
        address, _, query = request.path.partition("?")
        options = {"QUERY_STRING": query, "PATH_INFO": fuzz.unquoted(address)}
        answer = client.generic(request.method, "/", request.body, "application/x-www-form-urlencoded", **options)
        if answer.streaming:
            b"".join(answer)
        yield request, answer.status_code


@pytest.mark.parametrize("who", ["a stranger", "staff"])
def test_no_request_is_answered_with_a_500(client, admin_client, tmp_path, monkeypatch, who):
    monkeypatch.setattr(runtime, "_subject", lambda sae: (_ for _ in ()).throw(OSError("not loaded in this test")))
    sae = with_kept(tmp_path)[0]
    job = Job.objects.create(sae=sae, tokens=960, state="failed", error="made up")
    known = {
        "slug": [sae.slug],
        "object_id": [str(job.pk)],
        "index": ["0", "3", "5"],
        "id": ["1"],
        "form": ["csv", "json", "parquet"],
    }
    count, seed = int(os.environ.get("FUZZ", 100)), int(os.environ.get("SEED", 0))
    reader = admin_client if who == "staff" else client
    reader.raise_request_exception = False
    failed = [
        str(asked)
        for asked, status in answers(reader, fuzz.requests(seed, count, known))
        if status >= 500 and status != 503
    ]
    assert not failed, "\n".join(failed)
