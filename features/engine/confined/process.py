"""What may a library take that opens a file of others? It does so in a child process, which is watched from here.

Resident memory is bounded, not address space: torch reserves far more of that than it uses. What files themselves map
is not counted. A child that took too much, said nothing for too long or died costs the question that it was asked; the
next one has a new child.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection, Pipe
from pathlib import Path

from .child import ANSWER, ERROR, unpacked

ROOT = Path(__file__).resolve().parents[3]
LOOK = 0.02  # seconds between two looks at what a child takes
TICK = 0.5  # seconds between two calls of who may want to stop
TO_BEGIN = 120.0  # seconds that a child has to import Python's own; machines under load are slow
GROWN = 300 << 20  # bytes that a child keeps after an answer, beyond those it began with, after which it is replaced


class ChildEnded(ValueError):
    """What a file made a library do went beyond its bounds; the message says which file, which bound, what was used and
    how it is raised."""


@dataclass(frozen=True)
class Bounds:
    """Of one question."""

    memory: int  # bytes resident, beyond those that the child has when it is asked
    seconds: float  # until its next word
    more_memory: str = ""  # how it is raised: "SAEVIZ_... raises it"
    more_time: str = ""  # likewise


class ConfinedProcess:
    """A process that answers one question at a time. Not to be shared by threads; see `Children`."""

    def __init__(self):
        self.held = set()  # what the asker has it keep
        ours, theirs = Pipe()
        read, self._lifeline = os.pipe()
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
        environment |= {"TOKENIZERS_PARALLELISM": "true"}
        self._questions: Connection = ours
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.child", str(theirs.fileno()), str(read)],
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(), read),
            cwd=ROOT,
            env=environment,
        )
        theirs.close()
        os.close(read)
        self._ready, self._first = False, 0

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    @property
    def has_grown(self) -> bool:
        return self._resident() - self._first > GROWN

    def ask(self, function, arguments: tuple, bounds: Bounds, what: str, hear=None, tick=None):
        """What `function(*arguments)` returns there, a function or "package.module:function". Where it takes `say`, a
        word said there is given to `hear`, and its time begins anew. `tick` is called every TICK seconds; what it
        raises ends the child, as an interruption does.

        Raises what the function raises; ChildEnded, after which the child is gone, with `what` as its subject.
        """
        try:
            self._begun(tick)
            return self._answer(function, arguments, bounds, what, hear, tick)
        except _Gone as gone:
            # A child that closed its end may still be ending: a moment later its status says by what.
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(1)
            said = _died(self._process.poll())
            self.end()
            raise ChildEnded(f"{what}: the process that read it {said}. Is the file damaged?") from gone
        except _Error as error:
            raise unpacked(error.packed) from None
        except BaseException:
            self.end()
            raise

    def load(self, modules: tuple[str, ...], tick=None) -> None:
        """Have modules of ours there, which is no file's fault: it counts for no bound of a question."""
        if new := [module for module in modules if module not in self.held]:
            self._begun(tick)
            self.ask(_load, (new,), Bounds(1 << 40, TO_BEGIN), "Python's own modules", tick=tick)
            self.held.update(new)
            self.settle()

    def settle(self) -> None:
        """What it holds now it is meant to hold."""
        self._first = self._resident()

    def _begun(self, tick) -> None:
        if not self._ready:
            self._words(time.monotonic() + TO_BEGIN, None, tick, "The process that reads files did not begin")
            self._ready, self._first = True, self._resident()

    def _answer(self, function, arguments, bounds: Bounds, what: str, hear, tick):
        # What the child has taken before is no fault of this question: its memory is counted from here.
        before = self._resident()

        def refuse_more():
            used = self._resident() - before
            if used > bounds.memory:
                raise ChildEnded(
                    f"{what} took {_mib(used)} of memory and was ended; {_mib(bounds.memory)} are allowed"
                    f"{bounds.more_memory and f' ({bounds.more_memory})'}."
                )

        slow = (
            f"{what} took more than {bounds.seconds:g} s and was ended{bounds.more_time and f' ({bounds.more_time})'}"
        )
        with _gone():
            self._questions.send((function, arguments))
        while True:
            # Each word begins the time anew: only silence is bounded, a large file that goes on is not.
            kind, content = self._words(time.monotonic() + bounds.seconds, refuse_more, tick, slow)
            if kind == ANSWER:
                return content
            if kind == ERROR:
                raise _Error(content)
            if hear:
                hear(content)

    def _words(self, until: float, look, tick, slow: str) -> tuple:
        """The next thing that it says, (kind, content)."""
        ticked = time.monotonic()
        while not self._has_spoken():
            now = time.monotonic()
            if look:
                look()
            if tick and now - ticked > TICK:
                tick()
                ticked = time.monotonic()
            if now > until:
                raise ChildEnded(f"{slow}.")
        with _gone():
            return self._questions.recv()

    def _has_spoken(self) -> bool:
        with _gone():
            return self._questions.poll(LOOK)

    def _resident(self) -> int:
        """Bytes of memory that it takes, but for files that it maps. 0 where the system does not say."""
        try:
            _, resident, shared, *_ = Path(f"/proc/{self.pid}/statm").read_text().split()
        except (OSError, ValueError):
            return 0
        # statm counts pages; what is mapped from files is the system's to take back.
        return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")

    def end(self) -> None:
        """At once, whatever it is at."""
        if self._lifeline is not None:
            self._process.kill()
            self._process.wait()
            self._questions.close()
            os.close(self._lifeline)
            self._lifeline = None


def _load(modules: list[str]) -> None:
    for module in modules:
        import_module(module)


class Children:
    """At most `most` children of this process for one kind of question, each begun when it is first needed. An idle one
    goes after `idle` seconds, where that is given."""

    def __init__(self, most: int = 1, idle: float | None = None):
        self.most, self.idle = most, idle
        self._forget()

    def _forget(self) -> None:
        self._owner, self._free, self._timer = os.getpid(), [], None
        self._changed, self._given = threading.Condition(), 0

    def begin(self) -> None:
        """Have one ready."""
        with self.one() as _:
            pass

    @contextmanager
    def one(self, tick: Callable[[], None] | None = None):
        """A child that nobody else asks meanwhile."""
        if self._owner != os.getpid():  # a fork: those children are another's
            self._forget()
        with self._changed:
            while self._given >= self.most:
                self._changed.wait(TICK)
                if tick:
                    tick()
            self._given += 1
            child = self._free.pop() if self._free else None
        try:
            if child is None or not child.is_alive:
                child = ConfinedProcess()
            yield child
        finally:
            self._back(child)

    def _back(self, child: ConfinedProcess | None) -> None:
        kept = child is not None and child.is_alive
        if kept and child.has_grown:
            child.end()
            kept = False
        with self._changed:
            self._given -= 1
            if kept:
                self._free.append(child)
            self._changed.notify()
            if self.idle is not None:
                if self._timer:
                    self._timer.cancel()
                self._timer = threading.Timer(self.idle, self.close)
                self._timer.daemon = True
                self._timer.start()

    def close(self) -> None:
        """End those that nobody asks."""
        with self._changed:
            free, self._free = self._free, []
        for child in free:
            child.end()


class _Gone(Exception):
    """It does not answer any more."""


class _Error(Exception):
    """What a function raised there."""

    def __init__(self, packed: tuple):
        super().__init__()
        self.packed = packed


@contextmanager
def _gone():
    try:
        yield
    except (EOFError, OSError) as error:
        raise _Gone from error


def _died(code: int | None) -> str:
    if code is None or code >= 0:
        return "ended"
    with suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"


def _mib(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB"
