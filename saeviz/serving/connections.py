"""A connection that says nothing, half of something, or does not read its answer, is closed after a while.

What is small to send and long to take apart (a head of a hundred thousand lines, a body of a hundred thousand pieces)
is refused before anybody takes it apart: the one thread that reads would keep all others waiting meanwhile.
"""

import re

from h11 import SEND_BODY
from uvicorn.protocols.http.h11_impl import H11Protocol

from . import addresses

HEAD_SECONDS = 15  # from the connection, or the answer before, to the end of a request's head
READING_SECONDS = 60  # in which a reader takes none of what waits for it
HEAD_LINES = 300  # browsers and proxies send some twenty
END_OF_HEAD = re.compile(rb"\n\r?\n")
IN_PIECES = re.compile(rb"(?i)\ntransfer-encoding[ \t]*:")
TOO_MANY_LINES = "431 Request Header Fields Too Large", f"A request has at most {HEAD_LINES} lines in front."
TOO_MANY = "503 Service Unavailable", "As many requests as one address may have are being answered. Come again soon."
ENDLESS = re.compile(rb"(?i)\ncontent-length[ \t]*:[ \t]*\d{13}")
TOO_LONG = "413 Content Too Large", "No body of a terabyte is read here."
NO_LENGTH = "411 Length Required", "Send the length of the body (Content-Length), and the body whole."


class Connection(H11Protocol):
    """uvicorn's own, which waits for the head of a request, and for readers, without end, of whomever in any number."""

    waiting = reading = None  # timers
    lines, before = 0, b""  # of a head that is not whole yet: how many have come, and its last bytes

    def __init__(self, crowd: addresses.Crowd, *args, **options):
        super().__init__(*args, **options)
        self.crowd = crowd

    def connection_made(self, transport):
        super().connection_made(transport)
        self._wait_for_head()
        if not self.crowd.enter(addresses.of(self.client), self):
            self._refuse(*TOO_MANY)

    @property
    def is_idle(self) -> bool:
        """No request of it is being answered; half of one may have come."""
        return self.cycle is None or self.cycle.response_complete

    def make_room(self):
        self.transport.abort()

    def data_received(self, data):
        if self.transport.is_closing():
            return
        if why := self._why_refused(data):
            self._refuse(*why)
        else:
            super().data_received(data)

    def on_response_complete(self):
        self._wait_for_head()
        super().on_response_complete()

    def connection_lost(self, exc):
        self._stop(self.waiting, self.reading)
        self.crowd.leave(addresses.of(self.client), self)
        super().connection_lost(exc)

    def pause_writing(self):
        super().pause_writing()
        self.reading = self.loop.call_later(READING_SECONDS, self.transport.abort)

    def resume_writing(self):
        self._stop(self.reading)
        super().resume_writing()

    def _why_refused(self, data: bytes) -> tuple[str, str] | None:
        """(status, sentence) where it takes too long to take apart; a look at the bytes alone."""
        if self.conn.their_state is SEND_BODY:  # its head was looked at when it came
            return NO_LENGTH if any(name == b"transfer-encoding" for name, _ in self.headers or ()) else None
        seen = self.before + data
        end = END_OF_HEAD.search(seen)
        head = seen[: end.end()] if end else seen
        self.lines += head.count(b"\n") - self.before.count(b"\n")
        self.before = b"" if end else seen[-40:]  # the name of a header may come in two
        if self.lines > HEAD_LINES:
            return TOO_MANY_LINES
        if ENDLESS.search(head):
            return TOO_LONG
        return NO_LENGTH if IN_PIECES.search(head) else None

    def _refuse(self, status: str, sentence: str):
        if self.transport.is_closing():
            return
        said = f"HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {len(sentence)}\r\nconnection: close"
        self.transport.write(f"{said}\r\n\r\n{sentence}".encode())
        self.transport.close()

    def _wait_for_head(self):
        self.lines, self.before = 0, b""
        self._stop(self.waiting)
        self.waiting = self.loop.call_later(HEAD_SECONDS, self._close_without_request)

    def _close_without_request(self):
        if self.is_idle:
            self.transport.abort()

    @staticmethod
    def _stop(*timers):
        for timer in filter(None, timers):
            timer.cancel()
