"""Processes that a test started: children, grandchildren and orphans."""

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from redis import Redis, RedisError

from saeviz.running import paths

ROOT = Path(__file__).resolve().parents[2]
OWN = ("DATABASE_URL", "REDIS_URL", "PORT", "HOST", "VERBOSE")  # a developer's, not the test's
MARK = "SAEVIZ_TEST_MARK"

needs_proc = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads /proc")


class Started:
    """A command, what it printed, and all processes that came of it."""

    def __init__(self, output: Path, *arguments, **environment):
        self.mark = uuid.uuid4().hex
        self.output = output
        plain = {name: value for name, value in os.environ.items() if name not in OWN}
        with output.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**plain, "OMP_NUM_THREADS": "1", MARK: self.mark, **environment},
                start_new_session=True,
            )

    def says(self) -> str:
        return self.output.read_text()

    def alive(self, *words) -> list[int]:
        """Processes that came of it and whose command line has all the words."""
        return [number for number in numbers() if self.began(number) and all_in(words, number)]

    def began(self, number) -> bool:
        """By the mark; Redis, which writes its title over its environment, by the folder it is in."""
        return f"{MARK}={self.mark}".encode() in environ(number) or self.output.parent in folders(number)

    def end(self):
        for number in self.alive():
            os.kill(number, signal.SIGKILL)
        self.process.wait()


def numbers():
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def environ(number) -> list[bytes]:
    return read(number, "environ").split(b"\0")


def folders(number):
    try:
        return Path(f"/proc/{number}/cwd").readlink().parents
    except OSError:
        return ()


def all_in(words, number) -> bool:
    command = read(number, "cmdline")
    return all(word.encode() in command for word in words)


def read(number, name) -> bytes:
    try:
        return Path(f"/proc/{number}/{name}").read_bytes()
    except OSError:
        return b""  # it has ended meanwhile, or is somebody else's


def within(seconds, condition):
    """The condition's first true answer, or its last one when the time is up."""
    until = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < until:
        time.sleep(0.05)
    return found


def redis_answers(data, seconds=5) -> bool:
    """Whether the embedded Redis of a data folder does, in time."""

    def pings():
        try:
            return Redis(unix_socket_path=str(paths.redis_socket(data))).ping()
        except RedisError:
            return False

    return within(seconds, pings)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
