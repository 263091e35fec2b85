"""Run a command and tell what it used: `python -I -S measured.py REPORT COMMAND ...` writes seconds and peak memory.

Linux lets a process begin with the peak memory of the one that forked it, also when another program takes its place.
So what is measured is started from here: this process imports next to nothing.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Used:
    """What a command used: seconds by the clock and of processors, and bytes of memory at the most."""

    seconds: float
    processor_seconds: float
    peak_bytes: int
    code: int


def through_here(report: Path, command: list) -> list[str]:
    """The command line that runs a command and writes what it used into a file."""
    return [sys.executable, "-I", "-S", __file__, str(report), *map(str, command)]


def run(command: list, **how) -> Used:
    """Run a command to its end. `how` as for subprocess.run."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "used.json"
        subprocess.run(through_here(report, command), **how)
        return Used(**json.loads(report.read_text()))


def main(report: str, *command: str) -> int:
    start = time.perf_counter()
    child = subprocess.Popen(command)
    _, status, used = os.wait4(child.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    told = {"seconds": time.perf_counter() - start, "processor_seconds": used.ru_utime + used.ru_stime}
    Path(report).write_text(json.dumps({**told, "peak_bytes": used.ru_maxrss * unit, "code": code}))
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
