"""One process started here: its lines with its name in front, its end with all that it started."""

import collections
import contextlib
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field

VERBOSE = os.environ.get("VERBOSE", "") == "1"


@dataclass(frozen=True)
class Program:
    """What to start, and what its end means."""

    name: str
    command: list
    environment: dict = field(default_factory=dict)  # beside our own
    folder: str | None = None
    files: tuple = ()  # descriptors it inherits
    quiet: bool = False  # its lines are shown only when it ends unexpectedly
    once: bool = False  # it has an end, and is not started again
    needed: bool = False  # by the other programs: it ends after them
    essential: bool = False  # its unexpected end ends everything; others are started again


def say(text: str):
    """In one piece, though several threads talk."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class RunningProgram:
    """A running program, leader of a process group of its own: Ctrl-C reaches it only through us."""

    def __init__(self, program: Program):
        self.program = program
        self.process = subprocess.Popen(
            program.command,
            env={**os.environ, **program.environment},
            cwd=program.folder,
            pass_fds=program.files,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.muted = False
        self.kept = collections.deque(maxlen=20)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            text = f"{self.program.name:>8} | {line.decode(errors='replace').rstrip()}"
            if self.program.quiet and not VERBOSE:
                self.kept.append(text)
            elif not self.muted:
                say(text)

    def say_what_was_kept(self):
        while self.kept:
            say(self.kept.popleft())

    @property
    def group(self) -> int:
        return self.process.pid

    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def how_it_ended(self) -> str:
        code = self.process.returncode
        return f"exit code {code}" if code >= 0 else signal.Signals(-code).name

    def ask_to_end(self):
        """Only the leader: it ends its own processes in its own order."""
        self.muted = not VERBOSE  # what it says about its end is no news
        if not self.has_ended():
            self.process.terminate()

    def kill(self):
        """The whole group, also what an ended leader left behind."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.group, signal.SIGKILL)
        self.process.wait()
        self.reader.join(timeout=1)
