"""What if the language model is down, slow, answers nonsense, or the work is broken off? No score of it, and nothing is
paid for twice."""

import os
import time

import pytest

from features.autointerp import address, asked, client, prompts
from features.autointerp import request as requests
from features.autointerp.job import run_autointerp
from features.jobs import lifecycle, worker
from features.messages import BadRequest
from features.models import AutoInterp, Judgement

from ..browse.test_pages import text_of
from .stand_in import chat

WORK = {AutoInterp: run_autointerp}


@pytest.fixture(autouse=True)
def quick(monkeypatch, sent):
    monkeypatch.setattr(asked, "WAITS", (0.0, 0.0))


def made(words, model, features=(1, 2, 5), calls=100) -> AutoInterp:
    work = requests.asked(words, requests.Chosen(list(features)), model.address, "parrot-1")
    return requests.start(requests.with_limits(work, requests.estimate(work), calls, 100_000))


def ended(work) -> AutoInterp:
    worker.work(WORK)
    work.refresh_from_db()
    return work


def asked_twice(model) -> bool:
    questions = [str(question) for question in model.asked]
    return len(set(questions)) < len(questions)


def drips(handler):
    """Drop by drop, so that no read is ever slow."""
    handler.send_response(200)
    handler.end_headers()
    try:
        for _ in range(100):
            handler.wfile.write(b" ")
            time.sleep(0.02)
    except OSError:
        pass
    return True


def answers(status, content, **headers):
    return lambda handler: handler.answer(status, content, **headers) or True


BROKEN = {
    "drips": (drips, "did not answer within 0.3 s"),
    "nonsense": (answers(200, chat("As an AI, I\ncannot say.")), "It answered no label"),
    "no chat": (answers(200, {"hello": 1}), "no answer to a chat"),
    "no JSON": (answers(200, b"<html>"), "no answer to a chat"),
    "no HTTP": (lambda handler: handler.wfile.write(b"hello\r\n\r\n") or True, "no HTTP"),
    "huge": (answers(200, b" " * (client.MOST_BYTES + 1)), "more than 256 KiB"),
    "error": (answers(500, {"error": {"message": "out of memory"}}), "answered 500: out of memory"),
    "redirects": (answers(302, b"", Location="http://127.0.0.1:1/"), "redirects are not followed"),
    "unknown model": (answers(404, {"error": {"message": "no model parrot-1"}}), "answered 404: no model parrot-1"),
    "asks to wait": (answers(429, b"", Retry_After="9999"), "It answered 429"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_what_is_no_answer_is_a_failed_call_that_says_what_it_is(how, model):
    model.behaves, sentence = BROKEN[how]
    with pytest.raises(client.CallFailed, match=sentence) as failed:
        asks = client.Client(address.read(model.address), "parrot-1", "", 0.3 if how == "drips" else 5)
        prompts.label_of(asks.ask(prompts.label_question([]), 10).text)
    assert failed.value.again == (how in ("drips", "no HTTP", "error", "asks to wait"))
    assert failed.value.final == (how in ("redirects", "unknown model"))
    assert failed.value.after == (9999 if how == "asks to wait" else 0)


def test_fields_that_a_model_does_not_know_are_left_out(model):
    said = iter(["Unsupported parameter: 'max_tokens'", "Unsupported value: 'temperature'"])
    model.behaves = lambda handler: (
        (why := next(said, "")) and (handler.answer(400, {"error": {"message": why}}) or True)
    )
    asks = client.Client(address.read(model.address), "parrot-1", "", 5)
    for _ in range(2):
        with pytest.raises(client.CallFailed) as failed:
            asks.ask(prompts.label_question([]), 10)
        assert failed.value.again
    model.says = lambda data: "a label"
    assert asks.ask(prompts.label_question([]), 10).text == "a label"


def test_a_server_that_asks_for_more_time_than_a_worker_waits_ends_the_job(words, model):
    model.behaves = BROKEN["asks to wait"][0]
    work = ended(made(words, model))
    assert (work.state, work.calls) == ("failed", 1) and "left alone for 9,999 s" in work.error


@pytest.mark.parametrize("how", ["down", "nonsense"])
def test_a_model_that_answers_nothing_of_use_ends_the_job_which_goes_on_when_it_does(how, words, model, client):
    """No score and no label of it; down, each question is tried three times."""
    work = made(words, model, features=(1, 2, 0, 4, 5))
    if how == "down":
        AutoInterp.objects.update(address="http://127.0.0.1:9/v1")
    model.behaves = BROKEN[how][0] if how in BROKEN else None
    work = ended(work)
    assert work.state == "failed" and "5 questions in a row" in work.error and not Judgement.objects.exists()
    assert {"down": "cannot be reached: Connection refused", "nonsense": "no label"}[how] in work.error
    assert work.calls == work.failed_calls == {"down": 15, "nonsense": 5}[how]
    assert f"{work.calls} of them failed (100 %)" in text_of(client.get("/saes/tiny/autointerp/"))
    if how == "nonsense":
        model.behaves = None
        work = ended(lifecycle.retry(work))
        assert work.state == "done" and Judgement.objects.count() == 5


def test_a_question_that_fails_now_and_then_leaves_a_gap_and_a_share(words, model):
    """429 is waited for; nonsense is a failed question."""
    model.says, well = (lambda data: "perhaps" if len(model.asked) in (9, 11) else well(data)), model.says
    model.behaves = lambda handler: len(model.asked) == 1 and (handler.answer(429, b"", Retry_After="0") or True)
    work = ended(made(words, model))
    assert (work.state, work.calls, work.failed_calls) == ("done", 16, 3) and work.outcome["features"] == 2
    (gap,) = (row.machine for row in Judgement.objects.all() if "score" not in row.machine)
    assert gap["unanswered"] == 0.5 and "Answers came for 0 texts" in gap["why_unscored"]


def test_cancelled_during_a_call_it_keeps_what_was_paid_and_goes_on(words, model, monkeypatch):
    def cancelled(self, *question):
        if len(model.asked) == 5:
            lifecycle.cancel(work)
        return ask(self, *question)

    work, ask = made(words, model), client.Client.ask
    monkeypatch.setattr(client.Client, "ask", cancelled)
    ended(work)
    assert (work.state, work.calls) == ("cancelled", 6)
    monkeypatch.setattr(client.Client, "ask", ask)
    work = ended(lifecycle.retry(work))
    assert (work.state, work.calls) == ("done", 15) and not asked_twice(model)


def test_killed_it_goes_on_without_paying_twice(words, model, monkeypatch):
    class Killed(BaseException):
        pass

    def killed(self, *question):
        if len(model.asked) == 7:
            raise Killed
        return ask(self, *question)

    ask = client.Client.ask
    monkeypatch.setattr(client.Client, "ask", killed)
    work = made(words, model)
    with pytest.raises(Killed):
        worker.work(WORK)
    monkeypatch.setattr(client.Client, "ask", ask)
    AutoInterp.objects.update(heartbeat=None)
    lifecycle.pick_up_silent(AutoInterp)
    work = ended(work)
    assert work.state == "done" and len(model.asked) == 15 and not asked_twice(model)


def test_it_stops_at_its_limits_and_goes_on_with_others(words, model, client):
    work = ended(made(words, model, calls=4))
    assert work.state == "failed" and "its limit of 4 calls" in work.error and len(model.asked) == 4
    limits = {"most_calls": "100", "most_tokens": "1500"}
    client.post(f"/saes/tiny/autointerp/{work.pk}/go-on/", limits)
    work = ended(work)
    assert "440 of its limit of 1,500 are spent" in work.error and len(model.asked) == 4
    work = ended(requests.go_on(work, 100, 100_000, None))
    assert work.state == "done" and len(model.asked) == 15 and not asked_twice(model)


@pytest.mark.parametrize(
    "text, why",
    [
        ("", "No address"),
        ("ftp://127.0.0.1/v1", "begins with ftp"),
        ("127.0.0.1:8080", "no address"),
        ("http:///v1", "names no host"),
        ("http://ann:secret@127.0.0.1/", "a key goes into the environment"),
        ("http://127.0.0.1/v1?x=1", "behind"),
        ("http://127.0.0.1:99999/", "no address"),
        ("http://127.0.0.1/v1\r\nX: y", "no address"),
        ("http://elsewhere.example/v1", "none of those that this site may ask"),
    ],
)
def test_an_address_that_may_not_be_asked_is_refused_in_words(text, why, settings):
    settings.SAEVIZ_LLM_HOSTS = ["127.0.0.1"]
    with pytest.raises(BadRequest, match=why):
        address.allowed(text)


def test_the_key_goes_to_the_sites_own_address_alone_and_no_cloud_is_asked_for_its_secrets(words, model, monkeypatch):
    monkeypatch.setitem(os.environ, "SAEVIZ_LLM_KEY", "secret")
    assert ended(made(words, model, features=(1, 2))).key_variable == "SAEVIZ_LLM_KEY"
    assert {headers["Authorization"] for headers in model.headers} == {"Bearer secret"}
    assert address.key_variable(address.read("http://127.0.0.1:1/v1")) == ""
    assert address.key_variable(address.read(model.address.replace("http", "https"))) == ""
    assert str(address.read("http://[::1]:80")) == "http://[::1]/v1"
    for ip in ("169.254.169.254", "::ffff:169.254.169.254", "fe80::1%eth0", "0.0.0.0"):
        assert address.refused_ip(ip)
    assert not address.refused_ip("127.0.0.1") and not address.refused_ip("::1")


def test_two_jobs_of_labels_are_never_at_work_for_one_sae(words, model, client):
    ended_early = ended(made(words, model, calls=4))
    at_work = made(words, model)
    for how in (lambda: made(words, model), lambda: lifecycle.retry(ended_early)):
        with pytest.raises(lifecycle.Unfinished, match=f"being made already .job {at_work.pk}"):
            how()
    answer = client.post(f"/saes/tiny/autointerp/{ended_early.pk}/go-on/", {"most_calls": "9", "most_tokens": "9"})
    assert f"being made already (job {at_work.pk})" in text_of(client.get(answer.url))
    ended_early.refresh_from_db()
    assert (ended_early.state, ended_early.most_calls) == ("failed", 4)
