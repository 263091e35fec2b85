"""From a bare Python to one that has the requirements: `bootstrap.py requirements.txt -m saeviz.running`.

Standard library only, and no newer syntax than Python 3.6 has: an older Python can still say what is wrong.
"""

import collections
import hashlib
import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

OLDEST = (3, 11)
ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = ROOT / ".venv"
PYTHON = ENVIRONMENT / "bin" / "python"


PIP_OPTIONS = ("--no-input", "--progress-bar=off", "--disable-pip-version-check")


class EnvironmentMissing(Exception):
    """What stands in the way, in one line."""


def check_python():
    if sys.version_info < OLDEST:
        raise EnvironmentMissing(
            "saeviz needs Python {}.{} or newer; this is {}. ".format(*OLDEST, sys.version.split()[0])
            + "Name another one: make run PYTHON=python3.12"
        )
    if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        raise EnvironmentMissing("This Python has no venv module. On Debian or Ubuntu: apt-get install python3-venv")


def with_included(requirements):
    """The file and those it includes with `-r`."""
    path = ROOT / requirements
    included = [line[3:].strip() for line in path.read_text().splitlines() if line.startswith("-r ")]
    return [path] + [more for name in included for more in with_included(name)]


def fingerprint(path):
    """Changes when the requirements, the Python or the folder of the environment do.

    No make rule does: it compares times, and calls a moved folder, another PYTHON= or a changed include up to date.
    """
    return hashlib.sha256(path.read_bytes() + sys.version.encode() + bytes(ENVIRONMENT)).hexdigest()


def stamp_of(path):
    return ENVIRONMENT / ("installed-" + path.name)


def is_installed(path):
    try:
        return stamp_of(path).read_text() == fingerprint(path) and PYTHON.exists()
    except OSError:
        return False


def is_usable():
    """Whether the environment was made in this folder, which its scripts name, and by such a Python."""
    try:
        lines = (ENVIRONMENT / "pyvenv.cfg").read_text().splitlines()
    except OSError:
        return False
    known = dict(line.split(" = ", 1) for line in lines if " = " in line)
    version = "{}.{}".format(*sys.version_info)
    return known.get("version", "").split(".")[:2] == version.split(".") and (
        known.get("command", str(ENVIRONMENT)).endswith(str(ENVIRONMENT))
    )


def install(requirements):
    wanted = with_included(requirements)
    if all(is_installed(path) for path in wanted):
        return
    print("Installing " + requirements + " into .venv (once; minutes, most of it is torch) ...", flush=True)
    start = time.time()
    try:
        if not is_usable():
            run_quietly([sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)])
        elif not (PYTHON.exists() and all(stamp_of(path).exists() for path in wanted)):
            run_quietly([sys.executable, "-m", "venv", str(ENVIRONMENT)])
        run_quietly([str(PYTHON), "-m", "pip", "install", *PIP_OPTIONS, "-r", str(wanted[0])])
        for path in wanted:
            stamp_of(path).write_text(fingerprint(path))
    except OSError as error:
        raise EnvironmentMissing("Cannot write the environment: " + str(error)) from error
    print("Installed in {:.0f} s.".format(time.time() - start), flush=True)  # noqa: UP032


def run_quietly(command):
    """Run, showing only that it is alive; its last lines when it fails."""
    last = collections.deque(maxlen=25)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    try:
        alive = Alive()
        for line in process.stdout:
            last.append(line)
            alive.show(line)
        alive.clear()
        if process.wait():
            raise EnvironmentMissing("".join(last) + "This failed: " + " ".join(command))
    finally:
        process.terminate()
        process.wait()


class Alive:
    """One line that moves on a terminal; elsewhere a line every quarter of a minute."""

    def __init__(self):
        self.on_terminal = sys.stdout.isatty()
        self.next = time.time() + 15

    def show(self, line):
        if self.on_terminal:
            print("\r\033[K  " + line.strip()[:76], end="", flush=True)
        elif time.time() > self.next:
            self.next = time.time() + 15
            print("  " + line.strip()[:76], flush=True)

    def clear(self):
        if self.on_terminal:
            print("\r\033[K", end="", flush=True)


def interrupted(*_):
    raise KeyboardInterrupt


def main(requirements, *arguments):
    signal.signal(signal.SIGTERM, interrupted)  # so that pip ends with us
    try:
        check_python()
        install(requirements)
    except EnvironmentMissing as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("Interrupted; the next run goes on from here.")
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.chdir(ROOT)
    os.execv(str(PYTHON), [str(PYTHON), *arguments])


if __name__ == "__main__":
    main(*sys.argv[1:])
