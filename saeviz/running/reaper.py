"""Ends the process groups it was told of when the process that told it is gone, however that went.

Told through its standard input, `+123` and `-123` a line; the end of that input is the end of the teller.
A pipe and not PR_SET_PDEATHSIG, because that reaches neither grandchildren nor systems other than Linux.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time

PATIENCE = 2.0  # seconds between asking and killing


def send(groups, number):
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)


def watch(lines):
    groups = set()
    for line in lines:
        (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    if groups:
        send(groups, signal.SIGTERM)
        time.sleep(PATIENCE)
        send(groups, signal.SIGKILL)


class Guard:
    """The guard as its teller sees it."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__], stdin=subprocess.PIPE, text=True, start_new_session=True
        )

    def tell(self, sign: str, group: int):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(f"{sign}{group}\n")
            self.process.stdin.flush()

    def dismiss(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()


if __name__ == "__main__":
    watch(sys.stdin)
