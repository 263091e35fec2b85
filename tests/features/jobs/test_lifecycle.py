"""Does every job end, once, whatever becomes of workers, messages and users' clicks?"""

import time
from datetime import UTC, datetime, timedelta
from importlib import import_module

import pytest
from celery import current_app
from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.utils import timezone

from features import tasks
from features.engine.results import Cancelled, Progress
from features.jobs import leases, lifecycle
from features.jobs.requests import request_statistics
from features.jobs.worker import run_job
from features.messages import BadRequest
from features.models import SAE, Job, Statistics, Verification
from tests import made_up
from tests.features.shown import store

pytestmark = pytest.mark.django_db


@pytest.fixture
def job(tiny, sent):
    return request_statistics(tiny)


@pytest.fixture
def staff(db):
    user = get_user_model().objects.create_user("ada", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="add_job"))
    return user


def silent(job, seconds=60, **changes):
    """As a worker that was killed leaves it."""
    heard = timezone.now() - timedelta(seconds=seconds)
    Job.objects.filter(pk=job.pk).update(state="running", started=heard, heartbeat=heard, **{"attempts": 1} | changes)


def test_a_request_is_sent_when_it_is_committed(tiny, sent, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        request_statistics(tiny)
        assert sent == []
    assert sent == ["ring"]


def test_all_features_of_an_sae_are_computed_once_at_a_time(tiny, job):
    with pytest.raises(lifecycle.Unfinished) as refused:
        request_statistics(tiny)
    assert refused.value.job == job
    assert str(refused.value) == f"Job {job.pk} computes all features of Tiny already (queued)."


def test_rows_longer_than_their_positions_are_kept_are_not_computed_on(tiny, sent):
    type(tiny.corpus).objects.update(row_length=40_000)
    tiny.corpus.refresh_from_db()
    with pytest.raises(BadRequest, match=r"Rows of 40,000 tokens: at most 32,768 are read\. .*add_corpus PATH --model"):
        request_statistics(tiny)


def test_chosen_features_may_be_asked_for_meanwhile(tiny, job):
    store(tiny, made_up.Collected())
    assert request_statistics(tiny, features=[1]).state == Job.State.QUEUED


def test_a_job_is_taken_once(job):
    assert leases.claim(job)
    assert leases.claim(job) is None


def test_a_queue_that_is_away_is_told_and_the_job_waits(
    tiny, monkeypatch, tmp_path, django_capture_on_commit_callbacks
):
    monkeypatch.setattr(current_app.conf, "broker_url", f"redis+socket://{tmp_path}/nothing.sock")
    with django_capture_on_commit_callbacks(execute=True):
        job = request_statistics(tiny)
    assert job.note == lifecycle.UNREACHABLE
    assert Job.objects.get().state == Job.State.QUEUED


def test_progress_is_written_about_once_a_second_and_never_missed_at_a_new_phase(job, monkeypatch):
    lease, clock, written = leases.claim(job), [100.0], []
    monkeypatch.setattr(leases.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(timezone, "now", lambda: datetime.fromtimestamp(clock[0], UTC))
    for step in range(21):
        clock[0] = 100 + step / 4
        lease.progress(Progress("activations", step * 10, 400))
        written.append(Job.objects.get().done)
    assert sorted(set(written)) == [0, 40, 80, 120, 160, 200]
    assert Job.objects.get().rate == 40
    lease.progress(Progress("features", 0, 8))
    assert Job.objects.get().phase == "features"


def test_the_time_left_is_that_of_the_phase(job):
    silent(job, done=100, total=400, rate=50)
    assert Job.objects.get().seconds_left == 6


def test_a_running_job_stops_when_it_next_tells_its_progress(job):
    lease = leases.claim(job)
    lease.progress(Progress("activations", 0, 400))
    lifecycle.cancel(job)
    lease.written = 0
    with pytest.raises(Cancelled):
        lease.progress(Progress("activations", 10, 400))


def test_a_queued_job_is_cancelled_at_once_and_its_message_does_nothing(job, engine):
    lifecycle.cancel(job)
    run_job(job.pk)
    assert Job.objects.get().state == Job.State.CANCELLED
    assert not Statistics.objects.exists()


def test_a_job_that_is_done_cannot_be_cancelled(job, engine):
    run_job(job.pk)
    assert lifecycle.cancel(job).state == Job.State.DONE


def test_a_job_whose_worker_was_killed_is_queued_again(job, sent, django_capture_on_commit_callbacks):
    silent(job)
    with django_capture_on_commit_callbacks(execute=True):
        lifecycle.pick_up_silent(Job)
    assert Job.objects.get().state == Job.State.QUEUED
    assert sent == ["ring"]


def test_a_job_that_is_heard_from_is_left_alone(job, sent):
    silent(job, seconds=5)
    lifecycle.pick_up_silent(Job)
    assert Job.objects.get().state == Job.State.RUNNING and sent == []


def test_a_job_that_kills_every_worker_fails_with_a_way_out(job, sent):
    silent(job, attempts=3, phase="activations")
    lifecycle.pick_up_silent(Job)
    job.refresh_from_db()
    assert job.state == Job.State.FAILED and job.can_be_retried
    assert job.error.startswith("The worker went away 3 times while it ran, at last in the phase 'activations'")


def test_a_cancelled_job_whose_worker_was_killed_is_not_picked_up(job, sent):
    silent(job, cancel_requested=True)
    lifecycle.pick_up_silent(Job)
    assert Job.objects.get().state == Job.State.CANCELLED and sent == []


def test_an_idle_worker_rings_for_what_waits_and_a_busy_one_does_not(job, sent):
    tasks.watch(is_idle=False)
    assert sent == []
    tasks.watch(is_idle=True)  # whatever became of the messages before
    assert sent == ["ring"]
    leases.claim(job)
    tasks.watch(is_idle=True)
    assert sent == ["ring"]  # nothing that another could begin


def test_a_retried_job_begins_anew(job, engine, sent, staff):
    engine.break_at = 2
    run_job(job.pk)
    engine.break_at = None
    retried = lifecycle.retry(Job.objects.get(), staff)
    assert (retried.state, retried.error, retried.attempts) == (Job.State.QUEUED, "", 0)
    assert retried.requested_by == staff
    run_job(job.pk)
    assert Job.objects.get().state == Job.State.DONE


def test_a_retry_does_not_run_beside_another_computation(tiny, job, sent, engine):
    lifecycle.cancel(job)
    request_statistics(tiny)
    with pytest.raises(lifecycle.Unfinished):
        lifecycle.retry(Job.objects.get(pk=job.pk))


@pytest.mark.parametrize("state", ["done", "failed", "cancelled"])
def test_what_has_ended_does_not_end_again(job, state):
    Job.objects.update(state=state)
    assert not lifecycle.finish(lifecycle.row(job)) and not lifecycle.fail(lifecycle.row(job), "late")
    assert not lifecycle.stop(lifecycle.row(job)) and not lifecycle.begin(job)
    assert Job.objects.get().state == state


def test_verifications_of_earlier_versions_become_rows_and_their_outcomes_stay(tiny):
    saes = [SAE.objects.get(pk=tiny.pk) for _ in range(4)]
    dicts = [{"state": "queued", "asked": "2026-11-24T10:00:00+00:00"}]
    dicts += [{"state": "failed", "error": "No file.", "when": "2026-11-24T11:00:00+00:00"}]
    dicts += [{"state": "done", "passed": True}, None]
    for number, (sae, outcome) in enumerate(zip(saes, dicts, strict=True)):
        sae.pk, sae.slug, sae.verification = None, f"sae-{number}", outcome
        sae.save()
    migration = import_module("features.migrations.0009_verifications")
    for _ in range(2):  # again, as when it was broken off
        migration.give_verifications_rows(apps, None)
    queued, failed = Verification.objects.order_by("pk")
    assert (queued.sae, queued.state, queued.created.hour) == (saes[0], "queued", 10)
    assert (failed.sae, failed.state, failed.error, failed.finished.hour) == (saes[1], "failed", "No file.", 11)
    assert [SAE.objects.get(pk=sae.pk).verification for sae in saes] == [None, None, dicts[2], None]


@pytest.mark.django_db(transaction=True)
def test_signs_of_life_come_without_progress_and_stop_with_the_work(tiny, sent, monkeypatch):
    monkeypatch.setattr(leases, "BEAT_EVERY", 0.02)
    lease = leases.claim(request_statistics(tiny))
    with lease.beating():
        first = Job.objects.get().heartbeat
        deadline = time.monotonic() + 60
        while Job.objects.get().heartbeat == first and time.monotonic() < deadline:
            time.sleep(0.02)
    last = Job.objects.get().heartbeat
    assert last > first
    time.sleep(0.1)
    assert Job.objects.get().heartbeat == last


class TestJson:
    def test_progress_is_open_to_every_reader(self, client, job):
        silent(job, seconds=1, phase="activations", done=100, total=400, rate=50)
        told = client.get(f"/jobs/{job.pk}.json").json()
        assert told["sae"] == "tiny" and told["state"] == "running" and told["share"] == 0.25
        assert told["seconds_left"] == 6 and told["features"] is None
        assert not told["can_cancel"]  # not by this reader

    def test_the_newest_job_of_an_sae_is_told(self, client, tiny, job, engine):
        run_job(job.pk)
        newest = request_statistics(tiny)
        assert client.get("/saes/tiny/jobs.json").json()["job"]["id"] == newest.pk

    def test_an_sae_without_jobs_tells_none(self, client, tiny):
        assert client.get("/saes/tiny/jobs.json").json() == {"job": None}

    def test_a_silent_job_is_told_as_such(self, client, job):
        silent(job, seconds=60)
        note = client.get(f"/jobs/{job.pk}.json").json()["note"]
        assert note == "Not heard from for 60 s; a worker picks it up again."

    @pytest.mark.parametrize("action", ["cancel", "retry"])
    def test_only_staff_changes_a_job_and_only_by_post(self, client, job, staff, action):
        address = f"/jobs/{job.pk}/{action}/"
        assert client.post(address).status_code == 403
        client.force_login(get_user_model().objects.create_user("eve"))
        assert client.post(address).status_code == 403
        client.force_login(staff)
        assert client.get(address).status_code == 405
        assert client.post(address).status_code == 200

    def test_a_form_of_another_site_cancels_nothing(self, job, staff):
        from django.test import Client

        client = Client(enforce_csrf_checks=True)
        client.force_login(staff)
        assert client.post(f"/jobs/{job.pk}/cancel/").status_code == 403
        assert Job.objects.get().state == Job.State.QUEUED

    def test_a_retry_that_has_to_wait_says_for_which_job(self, client, tiny, job, staff):
        lifecycle.cancel(job)
        other = request_statistics(tiny)
        client.force_login(staff)
        answer = client.post(f"/jobs/{job.pk}/retry/")
        assert (answer.status_code, answer.json()["job"]) == (409, other.pk)
