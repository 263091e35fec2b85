"""Are the parts of a job done once each, in any order by any worker, and is what is done kept?"""

from datetime import timedelta

import pytest
from django.utils import timezone

from features.jobs import artifacts, leases, leftovers, lifecycle, plan, worker
from features.jobs.requests import request_statistics
from features.jobs.worker import run_job, run_one, run_part
from features.models import SAE, Job, JobPart, ShardFile, Statistics
from features.storage import write
from tests import made_up

pytestmark = pytest.mark.django_db
Stage = JobPart.Stage


@pytest.fixture
def cut(monkeypatch, engine):
    """Jobs of three shards and of four blocks of two features."""
    monkeypatch.setattr(plan, "FEATURES_A_BLOCK", 2)
    monkeypatch.setattr(worker, "Loaded", lambda job: made_up.Loaded(job, engine, cut=3))
    yield engine
    worker.model.drop()


@pytest.fixture
def job(tiny, sent, cut):
    return request_statistics(tiny)


def planned(job):
    run_part(leases.claim(job.pk))
    return job


def states(job):
    return "".join(state[0] for state in job.parts.order_by("stage", "number").values_list("state", flat=True))


def test_all_parts_in_one_process_are_the_whole_job(job, shards):
    run_job(job.pk)
    job.refresh_from_db()
    assert (job.state, states(job)) == ("done", "d" * (1 + 3 + 1 + 4 + 3 + 4 + 1))
    assert SAE.objects.get().statistics.features.count() == 8
    assert not list(shards.glob("*"))


def test_a_part_is_had_by_one_worker(job):
    planned(job)
    taken = [leases.claim(job.pk) for _ in range(4)]
    assert [claim and claim.part.number for claim in taken] == [0, 1, 2, None]


def test_a_stage_begins_when_the_one_before_is_done_whatever_the_order(job):
    first, second, third = (leases.claim(planned(job).pk), leases.claim(job.pk), leases.claim(job.pk))
    assert [run_part(third), run_part(first), leases.claim(job.pk)] == [0, 0, None]
    assert run_part(second) == 1
    assert leases.claim(job.pk).part.stage == Stage.MERGE


def test_each_part_that_can_be_begun_gets_a_message_or_is_done_at_once(job, sent):
    sent.clear()
    run_one(job.pk)  # plans, and does the first of three shards
    assert sent == [job.pk] * 2
    run_one(job.pk)
    run_one(job.pk)  # the last shard, the merging, the examples of the first of four blocks
    assert sent == [job.pk] * (2 + 3)


def test_progress_is_that_of_all_parts(job):
    planned(job)
    first, second = leases.claim(job.pk), leases.claim(job.pk)
    for claim, done in ((first, 100), (second, 60)):
        claim.progress(write.Progress("activations", done, 320))
    job.refresh_from_db()
    assert (job.phase, job.done, job.total) == ("activations", 160, 960)


def test_a_lost_part_waits_again_while_the_others_go_on(job, sent):
    planned(job)
    lost, alive = leases.claim(job.pk), leases.claim(job.pk)
    JobPart.objects.filter(pk=lost.part.pk).update(heartbeat=timezone.now() - timedelta(seconds=60))
    sent.clear()
    lifecycle.pick_up_silent_jobs()
    assert sent == [job.pk] and states(job) == "dwr" + "w" * 14
    assert Job.objects.get().state == "running"
    with pytest.raises(leases.LostClaim):
        lost.finish()
    assert leases.claim(job.pk).part.pk == lost.part.pk and run_part(alive) == 0


def test_a_part_that_kills_every_worker_fails_the_job(job):
    claim = leases.claim(planned(job).pk)
    leases.claim(job.pk)
    long_ago = timezone.now() - timedelta(seconds=60)
    JobPart.objects.filter(pk=claim.part.pk).update(heartbeat=long_ago, attempts=3)
    lifecycle.pick_up_silent_jobs()
    job.refresh_from_db()
    assert (job.state, "went away 3 times" in job.error) == ("failed", True)


def test_cancel_stops_all_parts(job):
    planned(job)
    workers = [leases.claim(job.pk), leases.claim(job.pk)]
    lifecycle.cancel(job)
    for claim in workers:
        assert Job.objects.get().state == "running"
        assert run_part(claim) is None
    assert Job.objects.get().state == "cancelled" and leases.claim(job.pk) is None


def test_an_error_fails_the_job_and_stops_the_other_parts(job, cut):
    planned(job)
    first, second = leases.claim(job.pk), leases.claim(job.pk)
    first.give_up("The disk is full.")
    assert run_part(second) is None
    job.refresh_from_db()
    assert (job.state, job.error, states(job)) == ("failed", "The disk is full.", "d" + "w" * 16)


def test_a_retry_does_only_what_was_not_done(job, cut, tiny):
    cut.break_at = 5
    run_job(job.pk)
    assert (Job.objects.get().state, states(job)) == ("failed", "d" * 14 + "www")  # 2 blocks of 4, and the end
    assert tiny.statistics is None and Statistics.objects.get().features.count() == 4
    cut.break_at, done = None, set(job.parts.filter(state="done").values_list("pk", "started"))
    lifecycle.retry(Job.objects.get())
    run_job(job.pk)
    assert Job.objects.get().state == "done"
    assert done <= set(job.parts.values_list("pk", "started"))
    assert SAE.objects.get().statistics.features.count() == 8


@pytest.mark.parametrize("change", [{"checkpoint_hash": "0ther"}, {"hook_point": "blocks.0.hook_mlp_out"}])
def test_a_retry_with_other_files_begins_anew(job, cut, change):
    cut.break_at = 5
    run_job(job.pk)
    SAE.objects.update(**change)
    lifecycle.retry(Job.objects.get())
    assert leases.claim(job.pk).part.stage == Stage.PLAN
    assert states(job) == "r"


def test_what_a_cancelled_job_has_done_goes_after_a_day(job, cut, shards):
    cut.break_at = 5
    run_job(job.pk)
    leftovers.forget_long_ended()
    artifacts.remove_leftovers()
    assert Statistics.objects.exists() and list(shards.glob("*/merged"))
    Job.objects.update(finished=timezone.now() - timedelta(days=2))
    leftovers.forget_long_ended()
    artifacts.remove_leftovers()
    assert not Statistics.objects.exists() and not list(shards.glob("*")) and not job.parts.exists()


def test_chosen_features_of_several_blocks_join_the_set_shown_in_one_step(tiny, sent, cut):
    run_job(request_statistics(tiny).pk)
    shown = SAE.objects.for_pages().get()
    cut.seed = 1
    job = request_statistics(shown, features=[0, 1, 4, 6, 7])
    run_job(job.pk)
    assert Job.objects.get(pk=job.pk).state == "done"
    assert list(Statistics.objects.all()) == [shown.statistics]
    assert sorted(shown.statistics.features.values_list("index", flat=True)) == list(range(8))


def test_parts_whose_messages_are_lost_are_sent_again(job, sent):
    planned(job)
    leases.claim(job.pk)
    JobPart.objects.filter(state="waiting", stage=Stage.SHARD).update(heartbeat=timezone.now() - timedelta(seconds=60))
    sent.clear()
    lifecycle.pick_up_silent_jobs()
    assert sent == [job.pk] * 2
    lifecycle.pick_up_silent_jobs()
    assert sent == [job.pk] * 2  # given time to arrive


def test_a_job_that_waits_behind_others_is_not_taken_for_lost(job, sent):
    planned(job)
    Job.objects.update(heartbeat=timezone.now() - timedelta(seconds=60), attempts=3)
    lifecycle.pick_up_silent_jobs()
    job.refresh_from_db()
    assert (job.state, job.attempts) == ("queued", 0)


class TestOtherMachine:
    """What a part leaves reaches a worker that sees another folder."""

    @pytest.fixture(autouse=True)
    def _database(self, settings, monkeypatch):
        settings.SAEVIZ_SHARE = "database"
        monkeypatch.setattr(artifacts, "PIECE", 1000)

    def test_files_come_through_the_database(self, job, settings, tmp_path):
        claim = leases.claim(planned(job).pk)
        with artifacts.attempt(claim) as place:
            (place / "shard-0000" / "a").mkdir(parents=True)
            (place / "shard-0000" / "a" / "values").write_bytes(bytes(range(256)) * 20)
            artifacts.keep(claim, place / "shard-0000")
        assert ShardFile.objects.count() > 5
        assert max(len(row.piece) for row in ShardFile.objects.all()) == 1000
        settings.SAEVIZ_SHARDS = tmp_path / "another machine"
        (found,) = [artifacts._fetched(claim.job, claim.part)]
        assert (found / "a" / "values").read_bytes() == bytes(range(256)) * 20
        assert found.is_relative_to(tmp_path / "another machine")

    def test_a_job_goes_on_elsewhere_and_leaves_nothing_in_the_database(self, job, settings, tmp_path):
        settings.SAEVIZ_SHARDS = tmp_path / "first"
        for _ in range(4):
            run_part(leases.claim(job.pk))
        settings.SAEVIZ_SHARDS = tmp_path / "second"
        run_job(job.pk)
        assert Job.objects.get().state == "done" and not ShardFile.objects.exists()

    def test_a_worker_that_lost_its_part_stores_nothing(self, job):
        claim = leases.claim(planned(job).pk)
        JobPart.objects.filter(pk=claim.part.pk).update(started=None)
        with artifacts.attempt(claim) as place, pytest.raises(leases.LostClaim):
            (place / "shard-0000").mkdir()
            artifacts.keep(claim, place / "shard-0000")
        assert not ShardFile.objects.exists()


def test_a_folder_that_workers_do_not_share_is_told_and_done_again(job, settings, tmp_path):
    for _ in range(4):
        run_part(leases.claim(job.pk))
    settings.SAEVIZ_SHARDS = tmp_path / "second"
    run_job(job.pk)
    job.refresh_from_db()
    assert job.state == "failed" and "SAEVIZ_SHARE=database" in job.error
    lifecycle.retry(job)
    run_job(job.pk)
    assert Job.objects.get().state == "done"


def test_chosen_features_are_computed_beside_all_of_them_without_harm(tiny, sent, cut):
    run_job(request_statistics(tiny).pk)
    everything = request_statistics(tiny)
    for _ in range(1 + 3 + 1 + 4 + 3 + 1):
        run_part(leases.claim(everything.pk))
    run_job(request_statistics(SAE.objects.for_pages().get(), features=[1, 2]).pk)
    everything.refresh_from_db()
    assert everything.result.features.count() == 2
    run_job(everything.pk)
    assert SAE.objects.get().statistics_id == everything.result_id and Job.objects.filter(state="done").count() == 3
