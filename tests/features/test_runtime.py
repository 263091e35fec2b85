"""Models of this process: loaded once, bounded in number, run one at a time, failures told and retried."""

import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from features import runtime
from features.models import SAE


@pytest.fixture
def loads(monkeypatch):
    """Loads take a moment and give a made-up subject; the list tells which were asked for."""
    found = []

    def subject(sae):
        found.append(sae.slug)
        time.sleep(0.05)
        vocabulary = SimpleNamespace(ids=lambda text, bos: [0, 1])
        return SimpleNamespace(slug=sae.slug, vocabulary=vocabulary)

    monkeypatch.setattr(runtime, "_subject", subject)
    monkeypatch.setattr(runtime, "_analyse", lambda subject, ids: (subject.slug, tuple(ids)))
    return found


def sae(slug="one", **changes):
    facts = {"checkpoint_hash": slug, "path": "p", "model_path": "m", "hook_point": "h", "answers": {}}
    return SAE(slug=slug, **facts | changes)


def slug_of_loaded(sae, patience=None):
    """The slug of the subject that answers a prompt, once it is loaded."""
    with runtime.analysed(sae, [0, 1], patience) as (slug, _):
        return slug


def in_threads(n, work):
    """Results of `work()` run at once in n threads."""
    found, start = [], threading.Barrier(n)

    def run():
        start.wait()
        found.append(work())

    threads = [threading.Thread(target=run) for _ in range(n)]
    [thread.start() for thread in threads]
    [thread.join(60) for thread in threads]
    return found


def test_first_requests_at_once_load_once(loads):
    assert in_threads(8, lambda: slug_of_loaded(sae())) == ["one"] * 8
    assert loads == ["one"]


def test_state_goes_from_cold_through_loading_to_ready(loads):
    assert runtime.state(sae())["state"] == "cold"
    runtime.warm(sae())
    assert runtime.state(sae())["state"] == "loading"
    slug_of_loaded(sae())
    state = runtime.state(sae())
    assert state["state"] == "ready" and state["seconds"] >= 0.05 and state["error"] == ""


def test_a_prompt_waits_for_the_load_that_is_under_way(loads):
    runtime.warm(sae())
    assert slug_of_loaded(sae()) == "one"
    assert loads == ["one"]


def test_whoever_is_out_of_patience_is_told_while_the_load_goes_on(loads):
    with pytest.raises(runtime.NotYet):
        slug_of_loaded(sae(), patience=0.001)
    assert slug_of_loaded(sae()) == "one"
    assert loads == ["one"]


def test_no_more_subjects_than_allowed_stay_and_the_longest_unused_goes(loads, settings):
    settings.SAEVIZ_LOADED_SUBJECTS = 2
    for slug in ("one", "two", "one", "three"):
        slug_of_loaded(sae(slug))
    states = [runtime.state(sae(slug))["state"] for slug in ("one", "two", "three")]
    assert states == ["ready", "cold", "ready"]


@pytest.mark.parametrize(
    "change", [{"checkpoint_hash": "later in training"}, {"configs_hash": "k is 64"}, {"answers": {"k": "64"}}]
)
def test_another_checkpoint_or_reading_under_the_same_name_is_loaded_anew(loads, change):
    slug_of_loaded(sae())
    slug_of_loaded(sae(name="renamed"))
    assert loads == ["one"]
    slug_of_loaded(sae(**change))
    assert loads == ["one", "one"]


def test_a_failed_load_says_why_and_is_tried_again_by_the_next_request(loads, monkeypatch):
    working = runtime._subject

    def broken(sae):
        raise FileNotFoundError("sae_weights.safetensors is missing")

    monkeypatch.setattr(runtime, "_subject", broken)
    with pytest.raises(runtime.Unavailable, match="sae_weights.safetensors is missing"):
        slug_of_loaded(sae())
    assert runtime.state(sae())["state"] == "failed"
    assert "sae_weights.safetensors is missing" in runtime.state(sae())["error"]
    monkeypatch.setattr(runtime, "_subject", working)
    assert slug_of_loaded(sae()) == "one"
    assert runtime.state(sae())["error"] == ""


def test_everyone_who_waits_for_a_failing_load_hears_of_it(loads, monkeypatch):
    tries = []

    def broken(sae):
        tries.append(sae.slug)
        time.sleep(0.5)  # by then all wait for it
        raise OSError("gone")

    def attempt():
        with pytest.raises(runtime.Unavailable, match="gone"):
            slug_of_loaded(sae())

    monkeypatch.setattr(runtime, "_subject", broken)
    in_threads(4, attempt)
    assert tries == ["one"]


def test_forwards_of_one_subject_never_overlap(loads):
    inside, most = [], []

    def forward():
        with runtime.analysed(sae(), [0, 1]):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.005)
            inside.pop()

    in_threads(6, forward)
    assert max(most) == 1 and len(most) == 6


def held(sae, inside, go, ticket=""):
    """Has the model until `go`, in a thread; `inside` is set once it has."""

    def have():
        with runtime.loaded(sae, ticket=ticket):
            inside.set()
            go.wait(60)

    thread = threading.Thread(target=have)
    thread.start()
    return thread


def test_who_waits_hears_the_place_and_the_first_comes_first(loads, monkeypatch):
    one, go, order = sae(), threading.Event(), []
    inside = threading.Event()
    threads = [held(one, inside, go, "its turn")]
    inside.wait(60)

    def ask(name):
        with runtime.analysed(one, [0, 1], ticket=name):
            order.append(name)

    for number, name in enumerate("abc", 1):
        threads.append(threading.Thread(target=ask, args=(name,)))
        threads[-1].start()
        while runtime.state(one, name)["place"] is None:
            time.sleep(0.001)
        assert runtime.state(one, name)["place"] == runtime.state(one)["waiting"] == number
    assert (runtime.state(one, "its turn")["place"], runtime.state(one, "nobody's")["place"]) == (0, None)
    with pytest.raises(runtime.NotYet), runtime.analysed(one, [0, 1], patience=0.001):
        pass
    monkeypatch.setattr(runtime, "LONGEST", 0.001)
    with pytest.raises(runtime.Busy, match="^4th in line for the model after 0 s"):
        slug_of_loaded(one)
    go.set()
    [thread.join(60) for thread in threads]
    assert order == ["a", "b", "c"] and runtime.state(one)["waiting"] == 0


@pytest.mark.parametrize("asked", [runtime.loaded, lambda sae: runtime.analysed(sae, [0, 1])])
def test_whatever_is_asked_no_more_wait_than_there_are_places(loads, monkeypatch, asked):
    monkeypatch.setattr(runtime, "_places", threading.BoundedSemaphore(2))
    inside, go = threading.Event(), threading.Event()
    threads = [held(sae(), inside, go)]
    inside.wait(60)
    threads.append(held(sae(), threading.Event(), go))
    while not runtime.state(sae())["waiting"]:
        time.sleep(0.001)
    with pytest.raises(runtime.Busy, match="wait for the model already") as busy, asked(sae()):
        pass
    assert busy.value.retry_after >= 1
    go.set()
    [thread.join(60) for thread in threads]
    with runtime.place(), asked(sae()), runtime.loaded(sae()):  # who has a place needs no other
        assert runtime._places._value == 1


def test_a_prompt_is_analysed_once_and_kept_for_the_next_question(loads, monkeypatch):
    analysed = []
    monkeypatch.setattr(runtime, "_analyse", lambda subject, ids: analysed.append(tuple(ids)) or object())
    with runtime.analysed(sae(), [5, 6]) as first, runtime.analysed(sae(), (5, 6)) as second:
        assert first is second
    assert analysed.count((5, 6)) == 1


def test_kept_prompts_are_bounded_by_their_tokens(loads):
    for n in range(6):
        with runtime.analysed(sae(), [n] * (runtime.KEPT_TOKENS // 2)):
            pass
    kept = runtime._slot_of(sae()).prompts
    assert [ids[0] for ids in kept] == [4, 5]


def test_the_web_process_imports_no_torch():
    code = "import django, sys; django.setup(); import saeviz.wsgi, prompts.urls; print('torch' in sys.modules)"
    environment = {"DJANGO_SETTINGS_MODULE": "saeviz.settings", "PATH": "/usr/bin"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr
