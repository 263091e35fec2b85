"""Are statistics shown whole or not at all, and is what cannot be computed refused with a way out?"""

import tomllib

import pytest

from features.engine.results import Cancelled
from features.jobs.requests import request_statistics
from features.jobs.worker import run_job
from features.messages import BadRequest
from features.models import SAE, Feature, Job, JobPart, Statistics
from features.storage import write
from features.storage.feature_rows import save, statistics_of
from tests import made_up
from tests.features.shown import store
from tests.features.storage.test_payload import assert_same

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _queue(sent):
    pass


@pytest.fixture
def shown(tiny):
    """The statistics that pages show before something new is computed."""
    store(tiny, made_up.Collected())
    tiny.refresh_from_db()
    return tiny.statistics


def run(tiny, **asked):
    job = request_statistics(tiny, **asked)
    run_job(job.pk)
    job.refresh_from_db()
    tiny.refresh_from_db()
    return job


def seeds(statistics):
    """Which made-up run the features come from: their first positive logit tells."""
    return [statistics_of(f).logits.positive.values[0] for f in statistics.features.all()]


def test_what_was_collected_is_what_is_stored(tiny):
    store(tiny, made_up.Collected())
    for feature, expected in zip(Feature.objects.all(), made_up.Collected().features(), strict=True):
        assert feature.density == expected.density
        assert_same(statistics_of(feature), expected)


def test_the_summary_is_stored_too(tiny, settings):
    statistics = store(tiny, made_up.Collected())
    assert (statistics.tokens, statistics.l0, statistics.loss_recovered) == (960, 2.5, pytest.approx(0.9))
    assert statistics.checkpoint_hash == "c0ffee"
    assert statistics.completed is not None
    project = tomllib.loads((settings.BASE_DIR / "pyproject.toml").read_text())["project"]
    assert statistics.versions == {"saeviz": project["version"], "torch": "made up"}


def test_the_token_of_the_top_activation_and_the_most_boosted_one_are_named(tiny):
    store(tiny, made_up.Collected())
    vocabulary, rows = write.vocabulary_of(tiny), write.rows_of(tiny.corpus)
    first, expected = Feature.objects.get(index=0), made_up.feature(0)
    token = rows[expected.examples.top.rows[0], expected.examples.top.positions[0]]
    assert first.top_token == vocabulary.label(int(token))
    assert first.top_logit == vocabulary.label(int(expected.logits.positive.tokens[0]))
    assert Feature.objects.get(index=3).top_token == ""  # dead


def test_no_reader_sees_half_of_the_new_statistics(tiny, shown, engine, monkeypatch):
    monkeypatch.setattr(write, "BATCH", 2)
    engine.seed, seen = 1, []

    def look(progress):
        sae = SAE.objects.get(pk=tiny.pk)
        seen.append((sae.statistics_id, sae.statistics.features.count()))

    job = request_statistics(tiny)
    run_job(job.pk, watcher=look)
    tiny.refresh_from_db()
    assert len(seen) == 9 and set(seen) == {(shown.pk, 8)}  # 1 while loading, 8 computing
    assert tiny.statistics_id != shown.pk
    assert tiny.statistics.seed == 1
    assert list(Statistics.objects.all()) == [tiny.statistics]  # the old ones are gone
    assert Feature.objects.count() == 8


@pytest.mark.parametrize(
    "error, state",
    [(RuntimeError("disk full"), "failed"), (Cancelled(), "cancelled")],
    ids=["failed", "cancelled"],
)
def test_an_unfinished_run_leaves_the_old_statistics_and_nothing_else(tiny, shown, engine, monkeypatch, error, state):
    monkeypatch.setattr(write, "BATCH", 2)
    before = seeds(shown)
    engine.seed, engine.break_at, engine.error = 1, 5, error
    job = run(tiny)
    assert job.state == state
    assert tiny.statistics_id == shown.pk
    assert seeds(shown) == before
    assert Statistics.objects.count() == 1 and Feature.objects.count() == 8


def test_a_failed_job_says_why(tiny, engine):
    engine.break_at, engine.error = 2, ValueError("The model reads 1,024 values, the SAE 512.")
    job = run(tiny)
    assert (job.state, job.error) == (Job.State.FAILED, "The model reads 1,024 values, the SAE 512.")
    assert job.finished


def test_an_error_without_a_sentence_of_ours_keeps_its_kind(tiny, engine):
    engine.break_at, engine.error = 2, KeyError("W_dec")
    assert run(tiny).error == "KeyError: 'W_dec'"


def test_out_of_memory_names_the_way_out(tiny, engine):
    engine.break_at, engine.error = 2, MemoryError()
    assert run(tiny).error.startswith("Out of memory on auto with 960 tokens. Retry with fewer")


def test_what_a_killed_run_left_behind_goes_with_the_next_one(tiny, shown, engine):
    left = Statistics.objects.create(sae=tiny, corpus=tiny.corpus)
    save(list(write._rows(tiny, left, made_up.Collected().features())))
    run(tiny)
    assert list(Statistics.objects.all()) == [tiny.statistics]
    assert Feature.objects.count() == 8


def test_chosen_features_are_replaced_and_the_others_left(tiny, shown, engine):
    before = seeds(shown)
    engine.seed = 1
    job = run(tiny, features=[6, 2, 2])
    after = seeds(tiny.statistics)
    assert job.state == Job.State.DONE and job.features == [2, 6]
    assert tiny.statistics_id == shown.pk
    assert [i for i in range(8) if after[i] != before[i]] == [2, 6]


def test_chosen_features_are_replaced_all_or_none(tiny, shown, engine):
    before = seeds(shown)
    engine.seed, engine.break_at = 1, 6
    assert run(tiny, features=[2, 6]).state == Job.State.FAILED
    assert seeds(shown) == before


def test_dead_features_are_counted_anew_when_some_are_replaced(tiny, shown, engine):
    Statistics.objects.update(dead=7)
    run(tiny, features=[1])
    assert tiny.statistics.dead == 1


def test_a_job_that_another_worker_was_given_shows_nothing(tiny, shown, engine):
    def lose(progress):
        if progress.done == 5:  # after the last progress is written: only the end of the part can notice
            JobPart.objects.filter(state="running").update(attempts=2, started=None)

    run_job(request_statistics(tiny).pk, watcher=lose)
    tiny.refresh_from_db()
    job = Job.objects.get()
    assert tiny.statistics_id == shown.pk and list(shown.features.values_list("index", flat=True)) == [*range(8)]
    assert list(Statistics.objects.exclude(pk=shown.pk)) == [job.result]  # the other worker writes into it
    assert job.state == Job.State.RUNNING  # the other worker's


def test_the_same_job_delivered_twice_is_done_once(tiny, engine):
    job = run(tiny)
    first = tiny.statistics_id
    run_job(job.pk)
    tiny.refresh_from_db()
    assert tiny.statistics_id == first


def test_ctrl_c_ends_the_job_and_leaves_nothing(tiny, shown, engine):
    engine.break_at, engine.error = 5, KeyboardInterrupt()
    job = request_statistics(tiny)
    with pytest.raises(KeyboardInterrupt):
        run_job(job.pk)
    job.refresh_from_db()
    assert job.state == Job.State.CANCELLED
    assert list(Statistics.objects.all()) == [shown]


@pytest.mark.parametrize(
    "asked, sentence",
    [
        (
            {"tokens": 9_000_000},
            "Asked for 9,000,000 tokens; the corpus 'Made-up corpus' has 960. Ask for fewer.",
        ),
        ({"tokens": 0}, "Asked for 0 tokens; at least 1 is needed, and 960 are there."),
        ({"device": "quantum"}, "No device is called 'quantum'. Say auto, cpu, mps, cuda or cuda:0."),
        ({"seed": -1}, "The seed is -1; it has to lie between 0 and 2,147,483,647."),
        ({"features": [3, 8]}, "Tiny has features 0 to 7; there is no 8."),
        ({"features": []}, "No feature was named. Name at least one, or ask for all."),
    ],
)
def test_what_cannot_be_computed_is_refused_with_both_numbers(tiny, shown, asked, sentence):
    with pytest.raises(BadRequest) as refused:
        request_statistics(tiny, **asked)
    assert str(refused.value) == sentence
    assert not Job.objects.exists()


def test_chosen_features_need_statistics_to_stand_in(tiny):
    with pytest.raises(BadRequest, match="has no statistics yet; compute all its features first"):
        request_statistics(tiny, features=[1])


def test_chosen_features_are_computed_on_as_many_tokens_as_the_others(tiny, shown):
    Statistics.objects.update(tokens=700, seed=5)
    tiny.refresh_from_db()
    job = request_statistics(tiny, features=[1])
    assert (job.tokens, job.seed) == (700, 5)


def test_without_a_number_a_short_corpus_is_read_whole(tiny, settings):
    settings.SAEVIZ_TOKENS = 500_000
    assert request_statistics(tiny).tokens == 960


def test_chosen_features_of_another_set_are_not_written_into_the_one_shown(tiny, shown, engine):
    before = list(Feature.objects.order_by("index").values_list("index", "count"))
    job = request_statistics(tiny, features=[0, 1])
    Statistics.objects.update(tokens=700)  # meanwhile all features were computed on other tokens
    run_job(job.pk)
    job.refresh_from_db()
    assert (job.state, "shown are now on 700 tokens" in job.error) == ("failed", True)
    assert list(Feature.objects.order_by("index").values_list("index", "count")) == before


def test_a_job_cancelled_while_its_features_are_written_leaves_the_old_ones_shown(tiny, shown, engine):
    job = request_statistics(tiny)

    def stop(progress):
        if progress.phase == "features":
            Job.objects.filter(pk=job.pk).update(cancel_requested=True)

    run_job(job.pk, watcher=stop)
    job.refresh_from_db()
    tiny.refresh_from_db()
    assert (job.state, tiny.statistics_id, Statistics.objects.count()) == ("cancelled", shown.pk, 1)
