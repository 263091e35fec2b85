"""What goes wrong where a file of others is opened costs one question: never memory, time or a process without end."""

import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from features.engine.confined.process import ROOT, Bounds, ChildEnded, Children
from features.engine.sae.reading.errors import MissingAnswer, Question

from .confined_tasks import die, double, keep, refuse, wait

ENOUGH = Bounds(memory=64 << 20, seconds=20, more_memory="SAEVIZ_SOMETHING raises it")


@pytest.fixture(scope="module")
def children():
    children = Children()
    yield children
    children.close()


def ask(children, function, *arguments, bounds=ENOUGH, **options):
    with children.one() as child:
        return child.ask(function, arguments, bounds, "a.pt", **options)


def test_an_answer_its_words_and_its_exceptions_come_over_whole(children):
    heard = []
    assert ask(children, double, 21, hear=heard.append) == 42
    assert heard == ["doubling"]
    with pytest.raises(MissingAnswer, match="sae.pt does not say all") as raised:
        ask(children, refuse)
    assert raised.value.questions == (Question("k", "How many?"),)
    assert ask(children, double, 1) == 2  # what is refused costs no child


def test_what_goes_beyond_a_bound_is_ended_by_its_numbers_and_the_next_question_is_answered(children):
    began = time.monotonic()
    with pytest.raises(
        ChildEnded, match=r"^a\.pt took \d+ MiB of memory and was ended; 64 MiB are allowed \(SAEVIZ_SOMETHING"
    ):
        ask(children, keep, 200 << 20)
    with pytest.raises(ChildEnded, match=r"^a\.pt took more than 0\.2 s and was ended\."):
        ask(children, wait, 600, bounds=Bounds(64 << 20, 0.2))
    with pytest.raises(ChildEnded, match="was ended by SIGSEGV"):
        ask(children, die)
    assert time.monotonic() - began < 300  # none of them was waited for
    assert ask(children, double, 2) == 4


def test_who_stops_waiting_ends_the_child_at_once(children):
    class Stopped(Exception):
        pass

    def stop():
        raise Stopped

    with children.one() as child, pytest.raises(Stopped):
        child.ask(wait, (600,), ENOUGH, "a.pt", tick=stop)
    assert not child.is_alive


def test_a_child_never_outlives_its_parent_also_while_a_library_keeps_it_busy():
    parent = textwrap.dedent(
        """
        from features.engine.confined.process import Bounds, ConfinedProcess
        from tests.engine.confined_tasks import be_busy, double
        child = ConfinedProcess()
        child.ask(double, (1,), Bounds(1 << 40, 60), "a.pt")
        print(child.pid, flush=True)
        child.ask(be_busy, (), Bounds(1 << 40, 60), "a.pt")
        """
    )
    process = subprocess.Popen([sys.executable, "-c", parent], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    pid = int(process.stdout.readline())
    time.sleep(0.3)
    process.kill()
    process.wait()
    until = time.monotonic() + 60
    while is_running(pid) and time.monotonic() < until:
        time.sleep(0.02)
    assert not is_running(pid)


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
