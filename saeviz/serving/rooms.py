"""Which threads answer which request? Pages have threads of their own, which no question, download or upload takes.

Questions (prompts, patterns) are computed, searches read every feature; files are as long as their reader is slow;
passwords are slow to check by intent. Each kind has its threads, and some room to wait for one. Beyond that a request
is answered at once, without a thread: come again.
"""

import json
import re
from dataclasses import dataclass
from urllib.parse import unquote

from a2wsgi import WSGIMiddleware

ASKED = r"/saes/[^/]+/(prompt/|ask(/|\.)|features/-?\d+/(try/|without/|explained\.json))"
FILES = r"/saes/[^/]+/(features|labels)\.(csv|json|parquet)$|/grading/[^/]+/answers\.|/runs/upload/|/admin/.*/upload/"

LOG_IN = r"/admin/login/$"
SEARCHES = re.compile(r"(^|&)by=(examples|boosts|suppresses)\b")  # in the query of a list of features


@dataclass
class Room:
    """Threads for one kind of request; `inside` counts those that are answered or wait."""

    application: WSGIMiddleware
    most: int
    again: int  # seconds after which who is refused may come again
    inside: int = 0


class Rooms:
    """ASGI around a WSGI application."""

    def __init__(self, application, pages: int, questions: int, files: int, chunks: int):
        def room(threads, most, again):
            return Room(WSGIMiddleware(application, workers=threads, send_queue_size=chunks), most, again)

        self.pages = room(pages, 1_000_000, 5)  # as many as there may be connections
        self.questions = room(questions, 4 * questions, 5)
        self.files = room(files, 4 * files, 30)
        self.doors = room(1, 8, 5)
        self.searches = room(2, 12, 5)
        kinds = (ASKED, self.questions), (FILES, self.files), (LOG_IN, self.doors)
        self.kinds = [(re.compile(addresses), its) for addresses, its in kinds]

    async def __call__(self, scope, receive, send):
        room = self._room_of(scope["path"], scope["query_string"])
        if room.inside >= room.most:
            return await _come_again(scope, send, room)
        room.inside += 1
        try:
            await room.application(scope, receive, send)
        finally:
            room.inside -= 1

    def _room_of(self, path: str, query: bytes) -> Room:
        """Wherever the site lies: a prefix in front of the path does not matter."""
        if "/features" in path and SEARCHES.search(unquote(query.decode("latin-1"))):
            return self.searches
        return next((room for kind, room in self.kinds if kind.search(path)), self.pages)


async def _come_again(scope, send, room: Room):
    sentence = f"{room.inside} requests like this one are being answered. Ask again in a few seconds."
    as_json = (
        ".json" in scope["path"]
        or b"format=json" in scope["query_string"]
        or scope["path"].endswith(("try/", "without/"))
    )
    body = json.dumps({"error": sentence, "retry_after": room.again}).encode() if as_json else sentence.encode()
    kind = b"application/json" if as_json else b"text/plain"
    headers = [(b"content-type", kind), (b"retry-after", str(room.again).encode())]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})
