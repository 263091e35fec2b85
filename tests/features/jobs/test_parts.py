"""Are the parts of a job done once each, in any order by any worker, and is what is done kept?"""

import shutil
from datetime import timedelta

import pytest
from celery import current_app
from django.utils import timezone

from features import tasks
from features.engine.results import Progress
from features.jobs import artifacts, doorbell, estimate, leases, leftovers, lifecycle, loaded_job, plan, worker
from features.jobs.loaded_job import model_cache
from features.jobs.requests import request_statistics
from features.jobs.status import to_dict as status_of
from features.jobs.verification import request_verification
from features.jobs.worker import do, run_job, run_part
from features.models import SAE, Import, Job, JobPart, ShardFile, Statistics
from tests import made_up
from tests.features.shown import store

pytestmark = pytest.mark.django_db
Stage = JobPart.Stage


@pytest.fixture
def cut(monkeypatch, engine):
    """Jobs of three shards and of four blocks of two features."""
    monkeypatch.setattr(plan, "FEATURES_A_BLOCK", 2)
    monkeypatch.setattr(loaded_job, "LoadedJob", lambda job: made_up.Loaded(job, engine, cut=3))
    yield engine
    model_cache.drop()


@pytest.fixture
def job(tiny, sent, cut):
    return request_statistics(tiny)


def planned(job):
    assert do(leases.claim(job), run_part)
    return job


def states(job):
    return "".join(state[0] for state in job.parts.order_by("stage", "number").values_list("state", flat=True))


def test_all_parts_in_one_process_are_the_whole_job(job, shards):
    run_job(job.pk)
    job.refresh_from_db()
    assert (job.state, states(job)) == ("done", "d" * (1 + 3 + 1 + 4 + 3 + 4 + 1))
    assert SAE.objects.get().statistics.features.count() == 8
    assert not list(shards.glob("*"))
    is_measured = "iB at most in job" in estimate.told(job.sae, 900)
    assert is_measured or not estimate.CLEAR_PEAK.exists()  # of systems that count it


def test_a_part_is_had_by_one_worker(job):
    planned(job)
    taken = [leases.claim(job) for _ in range(4)]
    assert [lease and lease.part.number for lease in taken] == [0, 1, 2, None]


def test_a_stage_begins_when_the_one_before_is_done_whatever_the_order(job):
    first, second, third = (leases.claim(planned(job)), leases.claim(job), leases.claim(job))
    assert [do(third, run_part), do(first, run_part), leases.claim(job)] == [True, True, None]
    assert do(second, run_part) and [lease.opened for lease in (third, first, second)] == [0, 0, 1]
    assert leases.claim(job).part.stage == Stage.MERGE


def test_a_worker_does_all_that_waits_and_wakes_another_when_a_stage_opens(job, sent):
    tasks.work()
    assert Job.objects.get().state == "done"
    # woken itself, then by each stage of several parts: shards, examples, loss effects, features
    assert len(sent) == 1 + 4


def test_a_worker_that_worked_for_a_while_rings_and_lets_go(job, sent, monkeypatch):
    monkeypatch.setattr(worker, "TURN", 0)
    tasks.work()
    assert states(job) == "d" + "w" * 16 and len(sent) == 2
    monkeypatch.setattr(doorbell, "ring", lambda: False)
    tasks.work(job.pk)  # as a message of an earlier version; nobody can be woken: it goes on
    assert Job.objects.get().state == "done"


def test_messages_of_this_and_of_earlier_versions_ring_for_whatever_waits(job, sent, monkeypatch):
    monkeypatch.setattr(worker, "TURN", 0)
    for done, task in enumerate(("work", "compute", "import_sae", "verify"), 1):
        current_app.tasks[f"features.{task}"].apply(args=[] if task == "work" else [12345])
        assert states(job).count("d") == done


def test_what_is_short_goes_before_the_next_part_of_what_is_long(tiny, sent, cut):
    """Verifications, then imports, then the computation that is not cut yet or has the fewest parts left."""
    store(tiny, made_up.Collected())
    long = request_statistics(tiny)
    do(leases.claim(planned(long)), run_part)
    short = request_statistics(SAE.objects.for_pages().get(), features=[1])
    brought = Import.objects.create(path="x")
    asked = request_verification(SAE.objects.for_pages().get())
    taken = [leases.claim_next(tasks.KINDS) for _ in range(4)]
    # the short one's only part, its planning, is in work: a second worker goes on with the long one
    assert [lease.work for lease in taken] == [asked, brought, short, long]
    assert do(taken[2], run_part)
    assert leases.claim_next(tasks.KINDS).work == short


def test_parts_of_another_version_are_neither_mixed_with_ours_nor_taken_from_it(job, sent):
    first, _ = leases.claim(planned(job)), leases.claim(job)
    Job.objects.update(inputs="0f another engine")  # its workers go on with what they have
    assert leases.claim(job) is None
    assert do(first, run_part)
    JobPart.objects.filter(state="running").update(state="waiting")
    assert leases.claim(job).part.stage == Stage.PLAN and states(job) == "r"


def test_progress_is_that_of_all_parts(job):
    planned(job)
    first, second = leases.claim(job), leases.claim(job)
    for lease, done in ((first, 100), (second, 60)):
        lease.progress(Progress("activations", done, 320))
    job.refresh_from_db()
    assert (job.phase, job.done, job.total) == ("activations", 160, 960)


def test_a_lost_part_waits_again_while_the_others_go_on(job, sent, django_capture_on_commit_callbacks):
    planned(job)
    lost, alive = leases.claim(job), leases.claim(job)
    JobPart.objects.filter(pk=lost.part.pk).update(heartbeat=timezone.now() - timedelta(seconds=60))
    sent.clear()
    with django_capture_on_commit_callbacks(execute=True):
        lifecycle.pick_up_silent(Job)
    assert sent == ["ring"] and states(job) == "dwr" + "w" * 14
    assert Job.objects.get().state == "running"
    with pytest.raises(leases.LeaseLost):
        lost.finish()
    assert leases.claim(job).part.pk == lost.part.pk and do(alive, run_part)


def test_a_part_that_kills_every_worker_fails_the_job(job):
    lease = leases.claim(planned(job))
    leases.claim(job)
    long_ago = timezone.now() - timedelta(seconds=60)
    JobPart.objects.filter(pk=lease.part.pk).update(heartbeat=long_ago, attempts=3)
    lifecycle.pick_up_silent(Job)
    job.refresh_from_db()
    assert (job.state, "went away 3 times" in job.error) == ("failed", True)


def test_cancel_stops_all_parts(job):
    planned(job)
    workers = [leases.claim(job), leases.claim(job)]
    lifecycle.cancel(job)
    for lease in workers:
        assert Job.objects.get().state == "running"
        assert not do(lease, run_part)
    assert Job.objects.get().state == "cancelled" and leases.claim(job) is None


def test_an_error_fails_the_job_and_stops_the_other_parts(job, cut):
    planned(job)
    first, second = leases.claim(job), leases.claim(job)
    first.give_up("The disk is full.")
    assert not do(second, run_part)
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
    assert leases.claim(job).part.stage == Stage.PLAN
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


def test_a_job_that_waits_behind_others_is_not_taken_for_lost(job, sent):
    planned(job)
    Job.objects.update(heartbeat=timezone.now() - timedelta(seconds=60), attempts=3)
    lifecycle.pick_up_silent(Job)
    job.refresh_from_db()
    assert (job.state, job.attempts) == ("queued", 0)


class TestOtherMachine:
    """What a part leaves reaches a worker that sees another folder."""

    @pytest.fixture(autouse=True)
    def _database(self, settings, monkeypatch):
        settings.SAEVIZ_SHARE = "database"
        monkeypatch.setattr(artifacts, "PIECE", 1000)

    def test_files_come_through_the_database(self, job, settings, tmp_path):
        lease = leases.claim(planned(job))
        with artifacts.attempt(lease) as path:
            (path / "shard-0000" / "a").mkdir(parents=True)
            (path / "shard-0000" / "a" / "values").write_bytes(bytes(range(256)) * 20)
            artifacts.keep(lease, path / "shard-0000")
        assert ShardFile.objects.count() > 5
        assert max(len(row.piece) for row in ShardFile.objects.all()) == 1000
        settings.SAEVIZ_SHARDS = tmp_path / "another machine"
        (found,) = [artifacts._fetched(lease.job, lease.part)]
        assert (found / "a" / "values").read_bytes() == bytes(range(256)) * 20
        assert found.is_relative_to(tmp_path / "another machine")

    def test_a_job_goes_on_elsewhere_and_leaves_nothing_in_the_database(self, job, settings, tmp_path):
        settings.SAEVIZ_SHARDS = tmp_path / "first"
        for _ in range(4):
            do(leases.claim(job), run_part)
        settings.SAEVIZ_SHARDS = tmp_path / "second"
        run_job(job.pk)
        assert Job.objects.get().state == "done" and not ShardFile.objects.exists()

    def test_a_worker_that_lost_its_part_stores_nothing(self, job):
        lease = leases.claim(planned(job))
        JobPart.objects.filter(pk=lease.part.pk).update(started=None)
        with artifacts.attempt(lease) as path, pytest.raises(leases.LeaseLost):
            (path / "shard-0000").mkdir()
            artifacts.keep(lease, path / "shard-0000")
        assert not ShardFile.objects.exists()


def test_a_folder_that_workers_do_not_share_is_told_and_done_again(job, settings, tmp_path):
    for _ in range(4):
        do(leases.claim(job), run_part)
    settings.SAEVIZ_SHARDS = tmp_path / "second"
    job.parts.update(worker="another machine, process 1")
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
        do(leases.claim(everything), run_part)
    run_job(request_statistics(SAE.objects.for_pages().get(), features=[1, 2]).pk)
    everything.refresh_from_db()
    assert everything.result.features.count() == 2
    run_job(everything.pk)
    assert SAE.objects.get().statistics_id == everything.result_id and Job.objects.filter(state="done").count() == 3


# Damage


@pytest.fixture
def leaves_files(monkeypatch):
    """Every part leaves a file with its name in it; returned is the folder of a part."""

    def leaves(what, path_of):
        before = getattr(made_up.Loaded, what)

        def made(self, *given):
            before(self, *given)
            path = path_of(*given)
            (path / "below").mkdir()
            (path / "below" / "values").write_bytes(path.name.encode() * 100)

        monkeypatch.setattr(made_up.Loaded, what, made)

    leaves("shard", lambda number, place, progress: place / f"shard-{number:04d}")
    leaves("merge", lambda place, progress: place / "merged")
    leaves("choose", lambda features, place, progress: place)
    leaves("effects", lambda folders, shard, place, progress: place)
    return lambda job, name: artifacts.folder(Job.objects.get(pk=job.pk)) / name


def until(job, stage):
    """All parts before a stage are done."""
    while job.parts.filter(stage__lt=stage).unfinished().exists() or not job.parts.filter(stage=stage).exists():
        assert do(leases.claim(job), run_part)


def cut_short(path):
    (path / "below" / "values").write_bytes(b"short")


def flipped(path):
    file = path / "below" / "values"
    file.write_bytes(bytes([file.read_bytes()[0] ^ 1]) + file.read_bytes()[1:])


def gone(path):
    shutil.rmtree(path)


def one_file_gone(path):
    (path / "below" / "values").unlink()


def contents_gone(path):
    (path / artifacts.CONTENTS).unlink()


def contents_spoilt(path):
    (path / artifacts.CONTENTS).write_text("[1")


DAMAGES = [  # before which stage, of which part
    (cut_short, Stage.MERGE, "shard-0001", "has 5 bytes; it was written with 1,000"),
    (contents_gone, Stage.CHOICE, "shard-0000", "contents.json is missing"),
    (one_file_gone, Stage.EFFECTS, "shown-0002", "is missing; it was written with 1,000"),
    (flipped, Stage.BLOCK, "merged", "has changed since it was written"),
    (gone, Stage.BLOCK, "effects-0000", "contents.json is missing"),
    (contents_spoilt, Stage.SHOW, "shard-0002", "contents.json is no list of files"),
]


def test_what_is_damaged_between_parts_is_made_again_and_the_job_says_so(job, leaves_files):
    for damage, stage, name, _ in DAMAGES:
        until(job, stage)
        damage(leaves_files(job, name))
    run_job(job.pk)
    job.refresh_from_db()
    assert (job.state, job.error, job.parts.unfinished().count()) == ("done", "", 0)
    remarks = status_of(job)["remarks"]
    assert len(remarks) == len(DAMAGES) and "it is made again." in remarks[0]
    for _, _, name, said in DAMAGES:
        assert any(name in remark and said in remark for remark in remarks), name
    made = {artifacts.name_of(part): part.attempts for part in job.parts.filter(stage__in=artifacts.NAMES)}
    assert {name for name, attempts in made.items() if attempts > 1} >= {name for _, _, name, _ in DAMAGES}
    assert max(made.values()) == 2


def test_what_is_stored_in_the_database_mends_a_folder_and_is_made_again_where_both_are_damaged(
    job, leaves_files, settings
):
    settings.SAEVIZ_SHARE = "database"
    until(job, Stage.MERGE)
    flipped(leaves_files(job, "shard-0001"))
    assert not artifacts.damaged(Job.objects.get(pk=job.pk))
    flipped(leaves_files(job, "shard-0001"))
    ShardFile.objects.filter(job=job, name="shard-0001").update(piece=b"no archive")
    run_job(job.pk)
    job.refresh_from_db()
    assert job.state == "done" and "no archive any more" not in job.remarks
    assert "'activations 1 of job" in job.remarks and len(job.remarks.splitlines()) == 1


def test_damage_that_comes_again_and_again_ends_the_job_in_a_sentence(job, leaves_files, monkeypatch, settings):
    settings.SAEVIZ_ATTEMPTS = 2
    whole = artifacts.keep

    def keep(lease, made):
        whole(lease, made)
        if made.name == "shard-0001":
            flipped(artifacts.folder(lease.job) / made.name)

    monkeypatch.setattr(artifacts, "keep", keep)
    run_job(job.pk)
    job.refresh_from_db()
    assert job.state == "failed" and job.error.endswith("It was made 2 times; is the disk at fault? Retry.")
    monkeypatch.setattr(artifacts, "keep", whole)
    lifecycle.retry(job)
    run_job(job.pk)
    assert Job.objects.get(pk=job.pk).state == "done"


def test_files_that_vanish_while_a_part_reads_them_are_made_again(job, leaves_files, monkeypatch):
    until(job, Stage.CHOICE)
    times, choose = [], made_up.Loaded.choose

    def reads(self, features, place, progress):
        if not times:
            times.append(1)
            shutil.rmtree(leaves_files(job, "merged"))
            raise FileNotFoundError(2, "No such file or directory", "values")
        choose(self, features, place, progress)

    monkeypatch.setattr(made_up.Loaded, "choose", reads)
    run_job(job.pk)
    job.refresh_from_db()
    assert job.state == "done" and "merging 0 of job" in job.remarks
