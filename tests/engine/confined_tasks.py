"""What the children of test_confined.py are asked to do. Little is imported here: each new child does so anew."""

import os
import signal
import time


def double(number, say):
    say("doubling")
    return 2 * number


def keep(size):
    held = b"x" * size
    time.sleep(600)
    return held


def wait(seconds):
    time.sleep(seconds)


def refuse():
    from features.engine.sae.reading.errors import MissingAnswer, Question

    raise MissingAnswer("sae.pt", [Question("k", "How many?")])


def die():
    os.kill(os.getpid(), signal.SIGSEGV)


def be_busy():
    """One call of C, which lets no other thread of Python in."""
    return 3**10**9
