"""Does a request answer while the queue is away, instead of trying to reach it for ever?"""

import socket

import pytest
from celery import current_app
from django.contrib.auth import get_user_model
from kombu.exceptions import OperationalError
from redis.exceptions import ResponseError

from features.jobs import doorbell, requests
from features.models import Job


@pytest.fixture
def nobody_there(monkeypatch):
    """The address of a Redis at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        monkeypatch.setattr(current_app.conf, "broker_url", f"redis://127.0.0.1:{probe.getsockname()[1]}/0")
        yield


def test_a_connection_is_given_up_after_two_seconds_and_one_more_try():
    with doorbell.broker_for_write() as broker:
        options = broker.transport_options
    assert options["socket_connect_timeout"] == 2
    assert (options["max_retries"], options["interval_start"]) == (1, 0)
    assert current_app.conf.broker_connection_timeout == 4  # of a worker's own


def test_a_message_that_cannot_be_sent_is_not_tried_again(monkeypatch):
    asked = {}
    monkeypatch.setattr(current_app, "send_task", lambda task, **options: asked.update(options))
    assert doorbell.ring()
    assert asked["retry"] is False


def test_the_log_says_in_a_line_where_it_is_and_never_the_password(nobody_there, settings, caplog):
    settings.REDIS_URL = "redis://:s3cret@away.test:6379/0"
    assert not doorbell.ring()
    (record,) = caplog.records
    said = record.getMessage()
    assert said.startswith("The queue at redis://:**@away.test:6379/0 cannot be reached: Error ") and "\n" not in said
    assert not record.exc_info


@pytest.mark.django_db(transaction=True)
def test_a_queue_that_refuses_is_told_by_its_own_reason(tiny, monkeypatch):
    def refuse(task, **options):
        raise OperationalError("…") from ResponseError("MISCONF Redis cannot save to its disk. Commands are disabled.")

    monkeypatch.setattr(current_app, "send_task", refuse)
    job = requests.request_statistics(tiny)
    assert job.note.startswith("The queue refuses messages now: MISCONF Redis cannot save to its disk. It waits")
    monkeypatch.setattr(current_app, "send_task", lambda task, **options: None)
    assert doorbell.ring() and doorbell.why_not() == ""


@pytest.mark.django_db(transaction=True)
def test_a_retry_asked_for_on_the_site_is_answered_and_the_job_waits_for_a_worker(client, tiny, nobody_there):
    job = requests.request_statistics(tiny)
    Job.objects.update(state=Job.State.FAILED)
    client.force_login(get_user_model().objects.create_user("ada", is_staff=True, is_superuser=True))
    assert client.post(f"/jobs/{job.pk}/retry/").status_code in (200, 302)
    assert Job.objects.get().state == Job.State.QUEUED
