"""Between the server and the site: a request waits for its body here, where it costs no thread."""

import asyncio
import time
from collections import deque

from features.callers import HERE

HELD = 1 << 18  # bytes of a body that are waited for before a thread is taken; forms and prompts have less
BODY_SECONDS = 30  # for all that is held
LEAST_RATE, GRACE = 1 << 14, 60  # bytes a second that a longer body comes with on average, but for its first seconds
SILENT_SECONDS = 15  # between two pieces of a longer body, which a thread reads as it comes
LONG_BODIES = 4  # at a time: uploads
TOO_SLOW = 408, b"The request did not come in time."
TOO_MANY = 503, b"Other uploads are under way. Send it again in a minute."


class WholeRequests:
    """ASGI around ASGI. `application` is called with requests whose body is here, or is one of a few long ones."""

    def __init__(self, application):
        self.application = application
        self.long_bodies = asyncio.Semaphore(LONG_BODIES)

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return
        try:
            async with asyncio.timeout(BODY_SECONDS):
                held = await _held(receive)
        except TimeoutError:
            return await _refuse(send, *TOO_SLOW)
        if held is None:
            return
        scope = _trusted(scope)
        if not held[-1].get("more_body"):
            return await self.application(scope, _replayed(held, receive), send)
        if self.long_bodies.locked():
            return await _refuse(send, *TOO_MANY)
        async with self.long_bodies:
            await self.application(scope, _replayed(held, receive), send)


async def _held(receive):
    """The first pieces of a body, up to HELD bytes; None where the client is gone."""
    held, size = deque(), 0
    while size < HELD:
        piece = await receive()
        if piece["type"] == "http.disconnect":
            return None
        held.append(piece)
        size += len(piece.get("body", b""))
        if not piece.get("more_body"):
            break
    return held


def _replayed(held, receive):
    """`receive` that gives what is held, then what comes.

    Raises OSError where nothing comes for a while, too little all the while, or the client is gone: half a body is
    never taken for a whole one.
    """
    began, came = time.monotonic(), 0

    async def next_piece():
        nonlocal came
        if held:
            return held.popleft()
        async with asyncio.timeout(SILENT_SECONDS):
            piece = await receive()
        if piece["type"] == "http.disconnect":
            raise ConnectionResetError("The client is gone.")
        came += len(piece.get("body", b""))
        if came < LEAST_RATE * (time.monotonic() - began - GRACE):
            raise TimeoutError(f"The request comes with less than {LEAST_RATE:,} bytes a second.")
        return piece

    return next_piece


def _trusted(scope) -> dict:
    """Without headers that would be taken for others (WSGI writes X_Real and X-Real alike); a proxy on this machine is
    believed that a reader came to it by HTTPS."""
    headers = [(name, value) for name, value in scope["headers"] if b"_" not in name]
    is_here = (scope.get("client") or ("",))[0] in HERE
    by_https = is_here and dict(headers).get(b"x-forwarded-proto") == b"https"
    return {**scope, "headers": headers, "scheme": "https" if by_https else scope["scheme"]}


async def _refuse(send, status: int, sentence: bytes):
    headers = [(b"content-type", b"text/plain"), (b"retry-after", b"60"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": sentence})
