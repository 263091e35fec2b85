"""Keeps programs running and ends them together: on Ctrl-C, on SIGTERM, when an essential one ends."""

import signal
import time

from .child import Program, RunningProgram, say
from .reaper import Guard

PATIENCE = 3.0  # seconds between asking and killing
LONGEST_PAUSE = 30  # seconds before a program that keeps ending is started again
HEALTHY_AFTER = 60  # seconds after which an end counts as the first one
STEP = 0.05  # seconds between two looks at the programs


class Supervisor:
    def __init__(self):
        self.asked_to_end = False
        self.children: list[RunningProgram] = []
        self.pauses: dict[str, float] = {}  # name -> seconds before its next start
        self.due: list[tuple[float, Program]] = []
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask_to_end)
        self.guard = Guard()

    def _ask_to_end(self, *_):
        self.asked_to_end = True

    def start(self, program: Program) -> RunningProgram:
        child = RunningProgram(program)
        child.started = time.monotonic()
        self.guard.tell("+", child.group)
        self.children.append(child)
        return child

    def wait(self, condition) -> bool:
        """Until the condition holds; False when the end was asked for, or came, before."""
        while not condition():
            if not self.look_after():
                return False
            time.sleep(STEP)
        return True

    def finish(self, program: Program) -> bool:
        """Run to its end, and say whether that was a good one."""
        child = self.start(program)
        while not child.has_ended() and not self.asked_to_end:
            time.sleep(STEP)
        self._forget(child)
        return child.process.returncode == 0

    def look_after(self) -> bool:
        """One look at every program. False: it is time to end."""
        for child in [child for child in self.children if child.has_ended()]:
            if self.asked_to_end:
                break
            self._forget(child)
            child.say_what_was_kept()
            if child.program.essential:
                say(f"The {child.program.name} ended ({child.how_it_ended()}), and saeviz with it.")
                return False
            if not child.program.once:
                self._start_later(child)
            elif child.process.returncode:
                say(f"The {child.program.name} failed ({child.how_it_ended()}); the next start tries again.")
        for moment, program in list(self.due):
            if time.monotonic() >= moment:
                self.due.remove((moment, program))
                self.start(program)
        return not self.asked_to_end

    def _forget(self, child: RunningProgram):
        child.kill()
        self.guard.tell("-", child.group)
        self.children.remove(child)

    def _start_later(self, child: RunningProgram):
        name = child.program.name
        lived = time.monotonic() - child.started
        pause = 1.0 if lived > HEALTHY_AFTER else min(self.pauses.get(name, 0.5) * 2, LONGEST_PAUSE)
        self.pauses[name] = pause
        say(f"The {name} ended ({child.how_it_ended()}); it starts again in {pause:.0f} s.")
        self.due.append((time.monotonic() + pause, child.program))

    def end(self):
        """First those that need others, then those that they need: a worker hands its work back to Redis."""
        self._end([child for child in self.children if not child.program.needed])
        self._end([child for child in self.children if child.program.needed])
        self.guard.dismiss()

    def _end(self, children: list[RunningProgram]):
        until = time.monotonic() + PATIENCE
        for child in children:
            child.ask_to_end()
        while time.monotonic() < until and not all(child.has_ended() for child in children):
            time.sleep(STEP)
        for child in children:
            self._forget(child)
