"""Are quick results shown at once, called what they are, and replaced whole by those of all tokens?"""

from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone

from features.jobs import leases, lifecycle, loaded_job, plan
from features.jobs.loaded_job import model_cache
from features.jobs.requests import request_statistics
from features.jobs.worker import do, run_job, run_part
from features.messages import BadRequest
from features.models import SAE, Feature, Job, JobPart, Statistics
from features.storage import write
from features.storage.payload import pack
from tests import made_up
from tests.browser import browser, page  # noqa: F401
from tests.engine import small
from tests.features.browse.test_pages import text_of
from tests.features.shown import store

pytestmark = pytest.mark.django_db
Stage = JobPart.Stage


@pytest.fixture
def cut(monkeypatch, settings, engine):
    """Jobs of three shards, and a quick look at their first 100 of 960 tokens."""
    settings.SAEVIZ_QUICK_TOKENS = 100
    monkeypatch.setattr(plan, "FEATURES_A_BLOCK", 4)
    monkeypatch.setattr(write, "READERS_FINISH", 0)
    monkeypatch.setattr(loaded_job, "LoadedJob", lambda job: made_up.Loaded(job, engine, cut=3))
    yield engine
    model_cache.drop()


@pytest.fixture
def job(tiny, sent, cut):
    """Planned."""
    job = request_statistics(tiny)
    assert do(leases.claim(job), run_part)
    return job


def shown():
    return SAE.objects.for_pages().get().statistics


def told(client):
    found = client.get("/saes/tiny/features/1.json").json()
    return found["missing"], found["quick"]


def test_quick_results_come_first_and_are_replaced_whole(client, job):
    lease = leases.claim(job)
    assert lease.part.stage == Stage.QUICK and do(lease, run_part)
    quick = shown()
    assert quick.completed and quick.quick and quick.features.count() == 8
    assert told(client) == (False, "Quick results, on the first 960 tokens; the whole corpus follows.")
    assert client.get("/saes/tiny/features/1.json").json()["population"]["quick"] is True
    for path in ("/", "/saes/tiny/", "/saes/tiny/features/", "/saes/tiny/features/1/"):
        assert "; the whole corpus follows." in client.get(path).content.decode(), path
    assert client.get("/saes/tiny/jobs.json").json()["job"]["showing"] == "quick"
    run_job(job.pk)
    assert Job.objects.get().state == "done" and not shown().quick and shown().features.count() == 8
    assert list(Statistics.objects.values_list("pk", flat=True)) == [shown().pk] != [quick.pk]
    assert told(client) == (False, "")
    assert "Quick results" not in client.get("/saes/tiny/features/1/").content.decode()


def test_what_findings_name_is_shown_before_the_rest(client, job, cut, monkeypatch):
    named = type("Found", (), {"features": [type("Finding", (), {"feature": 5})()]})()
    monkeypatch.setattr("features.jobs.worker.findings_of", lambda sae: named)
    cut.break_at = 0  # the others fail
    assert not do(leases.claim(job), run_part)
    assert shown().completed is None
    assert "Loss recovered not measured yet" in text_of(client.get("/saes/tiny/"))
    assert list(Feature.objects.values_list("index", flat=True)) == [5] and shown().quick


def test_after_a_killed_worker_another_begins_the_quick_look_anew(client, job):
    lost = leases.claim(job)
    lost_set = _half_done(lost)
    JobPart.objects.update(heartbeat=timezone.now() - timedelta(hours=1))
    lifecycle.pick_up_silent(Job)
    again = leases.claim(job)
    assert again.part == lost.part and do(again, run_part)
    assert shown().features.count() == 8 and Statistics.objects.count() == 1 and shown() != lost_set
    with pytest.raises(leases.LeaseLost):  # the lost one is not dead after all
        _half_done(lost)


def _half_done(lease):
    return write.show_quick(lease, made_up.summary(), [made_up.feature(1)])


def test_other_workers_read_shards_meanwhile(job):
    taken = [leases.claim(job) for _ in range(3)]
    assert [lease.part.stage for lease in taken] == [Stage.QUICK, Stage.SHARD, Stage.SHARD]
    assert do(taken[1], run_part) and do(taken[0], run_part)
    assert shown().quick


def test_one_that_is_overtaken_shows_nothing(job):
    quick = leases.claim(job)
    run_job(job.pk)
    complete = shown()
    assert Job.objects.get().state == "done" and not complete.quick
    assert not do(quick, run_part) and shown() == complete


@pytest.mark.parametrize("case", ["complete ones are shown", "few tokens", "some features"])
def test_there_is_no_quick_look_where_it_would_be_worse_or_no_sooner(tiny, sent, cut, settings, case):
    if case != "few tokens":
        store(tiny, made_up.Collected())
    settings.SAEVIZ_QUICK_TOKENS = 481 if case == "few tokens" else 100
    sae = SAE.objects.for_pages().get()
    job = request_statistics(sae, features=[1] if case == "some features" else None)
    assert do(leases.claim(job), run_part) and job.parts.exists()
    assert not job.parts.quick().exists()


def test_complete_results_of_other_weights_are_worse_than_quick_ones(tiny, sent, cut):
    store(tiny, made_up.Collected())
    SAE.objects.update(checkpoint_hash="0ther")
    job = request_statistics(SAE.objects.for_pages().get())
    assert do(leases.claim(job), run_part) and do(leases.claim(job), run_part)
    assert shown().quick and shown().checkpoint_hash == "0ther"


def test_quick_results_that_stay_say_why_and_take_in_no_chosen_features(client, job):
    assert do(leases.claim(job), run_part)
    lifecycle.cancel(job)
    assert told(client) == (
        False,
        "Quick results, on the first 960 tokens: the computation on the whole corpus has ended early. Try it again, or "
        "compute all features anew.",
    )
    with pytest.raises(BadRequest, match="shows quick results, on its first 960 tokens; compute all its features"):
        request_statistics(SAE.objects.for_pages().get(), features=[1])


def test_quick_figures_are_those_of_a_pass_over_these_tokens_alone(tmp_path):
    from features.engine.collect import shards
    from features.engine.collect.collect import collect
    from features.engine.subject import Subject

    size = small.write_model(tmp_path / "model")["d_vocab"]
    small.write_sae(tmp_path / "sae")
    subject, rows = (
        Subject.load(tmp_path / "model", tmp_path / "sae", small.HOOK, device="cpu"),
        small.corpus_rows(size),
    )
    loaded = object.__new__(loaded_job.LoadedJob)
    loaded.__dict__ |= {"_shards": shards, "_pass": None, "_options": {"seed": 3, "features": None, "encoder_b": None}}
    loaded.__dict__ |= {"subject": subject, "rows": rows, "encoder_b": None, "plan": SimpleNamespace(bos=True)}
    loaded._pass = shards.ShardPass(subject, True)
    quick, alone = loaded.quick(200, tmp_path, None), collect(subject, rows, tokens=200, seed=3, loss_rows=64)
    assert loaded.quick_summary(quick) == replace(alone.summary, health=None, encoders=None) and quick.tokens < 250
    packed = [[pack(feature) for feature in figures.features()] for figures in (quick, alone)]
    assert packed[0] == packed[1]


@contextmanager
def nobody_asks(page):  # noqa: F811
    """The tests' database lies in memory, where a reader's question locks a table that a job writes."""
    page.context.set_offline(True)
    page.wait_for_timeout(300)  # what was asked before is answered
    yield
    page.context.set_offline(False)


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_a_reader_who_waits_sees_quick_results_and_then_all_without_doing_anything(page, live_server, job):  # noqa: F811
    page.goto(f"{live_server.url}/saes/tiny/features/1/")
    page.get_by_text("This feature has no statistics yet.").wait_for()
    page.evaluate("window.same = true")
    with nobody_asks(page):
        do(leases.claim(job), run_part)
    page.get_by_text("Quick results, on the first 960 tokens; the whole corpus follows.").wait_for()
    page.locator(".group .sequence").first.wait_for()
    with nobody_asks(page):
        run_job(job.pk)
    page.locator("#quick").wait_for(state="hidden")
    assert page.locator(".group .sequence").count() and page.evaluate("window.same")
