"""A connection that says nothing, half of something, or does not read its answer, is closed after a while."""

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 15  # from the connection, or the answer before, to the end of a request's head
READING_SECONDS = 60  # in which a reader takes none of what waits for it


class Connection(H11Protocol):
    """uvicorn's own, which waits for the head of a request, and for readers, without end."""

    waiting = reading = None  # timers

    def connection_made(self, transport):
        super().connection_made(transport)
        self._wait_for_head()

    def on_response_complete(self):
        self._wait_for_head()
        super().on_response_complete()

    def connection_lost(self, exc):
        self._stop(self.waiting, self.reading)
        super().connection_lost(exc)

    def pause_writing(self):
        super().pause_writing()
        self.reading = self.loop.call_later(READING_SECONDS, self.transport.abort)

    def resume_writing(self):
        self._stop(self.reading)
        super().resume_writing()

    def _wait_for_head(self):
        self._stop(self.waiting)
        self.waiting = self.loop.call_later(HEAD_SECONDS, self._close_without_request)

    def _close_without_request(self):
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()

    @staticmethod
    def _stop(*timers):
        for timer in filter(None, timers):
            timer.cancel()
