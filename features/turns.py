"""Whose turn is it with what only a few can use at once? Who waits stands in line, first come, first served."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

LEARNS = 0.2  # weight of the latest turn in how long one takes


class Busy(Exception):
    """There is no room in the line, or it took longer than anybody should wait; the message says so.

    `retry_after` is in seconds, `place` the one that was reached, or None.
    """

    def __init__(self, sentence: str, retry_after: float = 3, place: int | None = None):
        super().__init__(sentence)
        self.retry_after, self.place = max(1, min(60, round(retry_after))), place

    def to_dict(self) -> dict:
        return {"error": str(self), "retry_after": self.retry_after, "place": self.place}


class WaitingLine:
    """At most `room` threads, `at_once` of which have their turn."""

    def __init__(self, room: int, at_once: int = 1, what: str = "the model"):
        self.room, self.at_once, self.what = room, at_once, what
        self.seconds = 0.0  # that a turn takes, about
        self._visits: list[Visit] = []  # in the order in which they came; the first have their turn
        self._changed = threading.Condition()

    @property
    def waiting(self) -> int:
        """How many have no turn yet."""
        return max(0, len(self._visits) - self.at_once)

    def place_of(self, ticket: str) -> int | None:
        """1: next; 0: it has its turn; None: nobody with this ticket stands here."""
        with self._changed:
            visit = next((visit for visit in self._visits if ticket and visit.ticket == ticket), None)
            return visit and visit.place

    @contextmanager
    def turn(self, ticket: str = "", patience: float | None = None) -> Iterator[None]:
        """Waits for a turn and has it; a thread that has one already goes on. Raises Busy, with the place where
        patience (seconds) ends."""
        with self._changed:
            again = any(visit.thread == threading.get_ident() for visit in self._visits)
        if again:
            yield
            return
        visit = self.enter(ticket)
        try:
            if not visit.wait(patience):
                raise visit.too_long()
            yield
        finally:
            visit.leave()

    def enter(self, ticket: str = "") -> "Visit":
        """Stand in line. Raises Busy where there is no room."""
        with self._changed:
            if len(self._visits) >= self.room:
                raise Busy(f"{self.room} wait for {self.what} already. Ask again in a few seconds.", self._until_free())
            visit = Visit(self, ticket)
            self._visits.append(visit)
        return visit

    def _until_free(self, place: int | None = None) -> float:
        return self.seconds * (len(self._visits) if place is None else place) / self.at_once


class Visit:
    """One thread's stay in a line."""

    def __init__(self, line: WaitingLine, ticket: str):
        self.line, self.ticket, self.thread = line, ticket, threading.get_ident()
        self.came, self.began = time.monotonic(), None

    @property
    def place(self) -> int:
        """0: it has its turn."""
        return max(0, self.line._visits.index(self) - self.line.at_once + 1)

    def wait(self, seconds: float | None = None) -> bool:
        """Whether it has its turn, at the latest after these seconds."""
        with self.line._changed:
            served = self.line._changed.wait_for(lambda: not self.place, seconds)
        if served and self.began is None:
            self.began = time.monotonic()
        return served

    def too_long(self) -> Busy:
        place, waited = self.place, time.monotonic() - self.came
        sentence = f"{ordinal(place)} in line for {self.line.what} after {waited:.0f} s. Ask again in a few seconds."
        return Busy(sentence, self.line._until_free(place), place)

    def leave(self) -> None:
        with self.line._changed:
            self.line._visits.remove(self)
            self.line._changed.notify_all()
            if self.began is not None:
                took = time.monotonic() - self.began
                self.line.seconds += LEARNS * (took - self.line.seconds)


def ordinal(number: int) -> str:
    """3 as "3rd"."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
