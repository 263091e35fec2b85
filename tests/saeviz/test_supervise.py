"""The supervisor: whatever ends, and however, nothing it started stays behind."""

import os
import signal

import pytest

from .processes import Started, needs_proc, within

pytestmark = [pytest.mark.service, needs_proc]


@pytest.fixture
def stand_ins(tmp_path):
    """A worker that will not listen to SIGTERM, with a child of its own, and a site."""
    started = Started(tmp_path / "output", "-m", "tests.saeviz.stand_ins")
    whole = [("SIG_IGN",), ("grandchild",), ("site",)]  # a worker's own line has its child's word too
    assert within(60, lambda: [len(started.alive(*words)) for words in whole] == [1, 2, 1])
    yield started
    started.end()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_every_process_also_the_stubborn_and_the_grandchildren(stand_ins, number):
    stand_ins.process.send_signal(number)
    assert stand_ins.process.wait(timeout=60) == 0
    assert within(60, lambda: not stand_ins.alive())


def test_a_killed_supervisor_takes_everything_along(stand_ins):
    stand_ins.process.kill()
    stand_ins.process.wait()
    assert within(60, lambda: not stand_ins.alive())


def test_a_killed_worker_is_started_again_and_one_line_says_so(stand_ins):
    before = set(stand_ins.alive("grandchild"))
    for number in stand_ins.alive("SIG_IGN"):
        os.kill(number, signal.SIGKILL)
    assert within(60, lambda: set(stand_ins.alive("SIG_IGN")) - before)
    assert within(60, lambda: not before & set(stand_ins.alive()))
    assert stand_ins.says().splitlines() == ["The worker ended (SIGKILL); it starts again in 1 s."]


def test_the_end_of_the_site_ends_everything_with_an_error(stand_ins):
    for number in stand_ins.alive("site", "sleep(600)"):
        os.kill(number, signal.SIGKILL)
    assert stand_ins.process.wait(timeout=60) == 1
    assert within(60, lambda: not stand_ins.alive())
    assert "The site ended (SIGKILL), and saeviz with it." in stand_ins.says()
