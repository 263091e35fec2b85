"""Do the commands compute what is asked, and refuse in one clear line what cannot be?"""

import pytest
from django.core.management import CommandError, call_command

from features.jobs import plan
from features.models import Job, JobPart
from tests import made_up
from tests.features.shown import store

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _made_up(engine, sent):
    pass


def test_compute_features_shows_statistics_when_it_returns(tiny, capsys):
    call_command("compute_features", "tiny", tokens=900, seed=4)
    tiny.refresh_from_db()
    assert tiny.statistics.features.count() == 8
    told = capsys.readouterr()
    assert told.out == "All features of Tiny computed on 900 tokens.\n"
    assert "features: " in told.err  # the bar
    job = Job.objects.get()
    assert (job.state, job.requested_how, job.tokens, job.seed) == ("done", "command", 900, 4)


def test_without_the_queue_nothing_is_sent(tiny, sent, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        call_command("compute_features", "tiny")
    assert sent == []


def test_with_the_queue_a_worker_does_the_work(tiny, sent, capsys, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        call_command("compute_features", "tiny", "--queue")
    job = Job.objects.get()
    assert sent == ["ring"] and job.state == "queued"
    assert capsys.readouterr().out == f"Job {job.pk} is queued.\n"


def test_chosen_features_only(tiny, capsys):
    store(tiny, made_up.Collected())
    call_command("compute_features", "tiny", "--features", "1,5")
    assert Job.objects.get().features == [1, 5]
    assert capsys.readouterr().out.startswith("2 features of Tiny")


def test_an_unknown_sae_is_answered_with_the_known_ones(tiny):
    with pytest.raises(CommandError, match=r"^No SAE is called 'tony'\. Known: tiny\.$"):
        call_command("compute_features", "tony")


def test_without_any_sae_the_way_to_one_is_told():
    with pytest.raises(CommandError, match="Known: none yet; `manage.py load_demo` makes one"):
        call_command("compute_features", "tiny")


def test_too_many_tokens_are_refused(tiny):
    with pytest.raises(CommandError, match=r"Asked for 5,000 tokens; the corpus 'Made-up corpus' has 960\."):
        call_command("compute_features", "tiny", "--tokens", "5,000")


def test_words_are_no_numbers(tiny):
    with pytest.raises(CommandError, match="--tokens: 'many' is no whole number"):
        call_command("compute_features", "tiny", "--tokens", "many")
    with pytest.raises(CommandError, match="--features: 'x' is no whole number"):
        call_command("compute_features", "tiny", "--features", "1,x")


def test_a_failure_is_one_line(tiny, engine):
    engine.break_at, engine.error = 2, ValueError("The checkpoint is damaged.")
    with pytest.raises(CommandError, match=r"^The checkpoint is damaged\.$"):
        call_command("compute_features", "tiny")


def test_ctrl_c_is_no_traceback(tiny, engine):
    engine.break_at, engine.error = 2, KeyboardInterrupt()
    with pytest.raises(CommandError, match="was stopped; nothing was changed"):
        call_command("compute_features", "tiny")


def test_a_second_computation_points_to_the_first(tiny):
    call_command("compute_features", "tiny", "--queue")
    with pytest.raises(CommandError, match=r"computes all features of Tiny already \(queued\)"):
        call_command("compute_features", "tiny")


def test_the_command_goes_on_where_it_was_interrupted(tiny, engine, monkeypatch):
    monkeypatch.setattr(plan, "FEATURES_A_BLOCK", 2)
    engine.break_at, engine.error = 5, KeyboardInterrupt()
    with pytest.raises(CommandError, match="The same command goes on from what was done"):
        call_command("compute_features", "tiny")
    done = set(JobPart.objects.filter(state="done").values_list("pk", "started"))
    engine.break_at = None
    call_command("compute_features", "tiny")
    assert len(done) == 1 + 1 + 1 + 4 + 1 + 2 and done <= set(JobPart.objects.values_list("pk", "started"))
    assert Job.objects.get().state == "done"


@pytest.mark.parametrize("other", [{"tokens": 900}, {"seed": 4}])
def test_another_computation_does_not_go_on_with_an_interrupted_one(tiny, engine, other):
    engine.break_at, engine.error = 5, KeyboardInterrupt()
    with pytest.raises(CommandError):
        call_command("compute_features", "tiny")
    engine.break_at = None
    call_command("compute_features", "tiny", **other)
    assert sorted(Job.objects.values_list("state", flat=True)) == ["cancelled", "done"]
