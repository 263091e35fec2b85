"""Which threads answer which request? Pages have threads of their own, which no question, download or upload takes.

Questions (prompts, patterns) are computed, searches and lists read every feature; files are as long as their reader is
slow; passwords are slow to check by intent. Each kind has its threads, few where they would take the processor from
pages, and some room to wait for one. Beyond that a request is answered at once, without a thread: come again. An
address has half of each room at most, of questions half of the model's line, so that one stranger keeps nobody out.
"""

import json
import re
import threading
from collections.abc import Callable
from urllib.parse import unquote

from a2wsgi import WSGIMiddleware

from . import addresses

ASKED = r"/saes/[^/]+/(prompt/|ask(/|\.)|features/-?\d+/(try/|without/|explained\.json))"
FILES = r"/saes/[^/]+/(features|labels)\.(csv|json|parquet)$|/grading/[^/]+/answers\."
UPLOADS = r"/runs/upload/|/admin/.*/upload/"
LISTS = r"/saes/[^/]+/(features/|overview/|beside/)|/runs/[^/]+(/|\.json)$"
ONE_FEATURE = re.compile(r"/features/(-?\d+(/|\.json)|(passing|stored)\.json|random/)")  # or some, by their numbers
LOG_IN = r"/admin/login/$"
SEARCHES = re.compile(r"(^|&)by=(examples|boosts|suppresses)\b")  # in the query of a list of features
QUESTIONS_OF_ONE = 6  # half of the places in the line for a model (features/runtime.py)
MANY = 1_000_000  # as many as there may be connections


class Room:
    """Threads for one kind of request, and how many may be answered or wait, of all and of one address."""

    def __init__(self, application, threads: int, most: int, again: int, chunks: int, of_one: int):
        self.application = WSGIMiddleware(application, workers=threads, send_queue_size=chunks)
        self.most, self.of_one = most, min(of_one, (most + 1) // 2)
        self.again = again  # seconds after which who is refused may come again
        self.inside, self.turns = addresses.UnderWay(), addresses.Turns(max(1, threads // 2))

    def why_not(self, address: str | None) -> str:
        """A sentence where there is no room; empty where there is."""
        if self.inside.all >= self.most:
            return f"{self.inside.all} requests like this one are being answered. Ask again in a few seconds."
        if address is not None and self.inside.of[address] >= self.of_one:
            mine = self.inside.of[address]
            return f"{mine} requests like this one from your address are being answered. Ask again in a few seconds."
        return ""

    async def answer(self, address: str | None, scope, receive, send) -> None:
        async with self.inside.one(address), self.turns.one(address):
            await self.application(scope, receive, send)


class Rooms:
    """ASGI around a WSGI application. `whose` tells which address a request is counted for, of which `most` may be
    under way (0: any number)."""

    def __init__(self, application, pages: int, questions: int, files: int, chunks: int, whose: Callable, most: int):
        def room(threads, most, again=5, application=application, of_one=MANY):
            return Room(application, threads, most, again, chunks, of_one)

        self.whose, self.most, self.inside = whose, most, addresses.UnderWay()
        self.pages = room(pages, MANY)
        self.questions = room(questions, 4 * questions, of_one=QUESTIONS_OF_ONE)
        self.files = room(files, 4 * files, 30, _one_at_a_time(application))
        self.uploads = room(files, 4 * files, 30)
        self.doors = room(1, 8)
        self.searches = room(1, 12)
        self.lists = room(2, 60)
        kinds = (ASKED, self.questions), (FILES, self.files), (UPLOADS, self.uploads), (LOG_IN, self.doors)
        self.kinds = [(re.compile(paths), its) for paths, its in (*kinds, (LISTS, self.lists))]

    async def __call__(self, scope, receive, send):
        address, room = self.whose(scope), self._room_of(scope["path"], scope["query_string"])
        why_not = room.why_not(address)
        if self.most and address is not None and self.inside.of[address] >= self.most:
            why_not = f"{self.most} requests from your address are being answered. Ask again in a few seconds."
        if why_not:
            return await _come_again(scope, send, why_not, room.again)
        async with self.inside.one(address):
            await room.answer(address, scope, receive, send)

    def _room_of(self, path: str, query: bytes) -> Room:
        """Wherever the site lies: a prefix in front of the path does not matter."""
        if "/features" in path and SEARCHES.search(unquote(query.decode("latin-1"))):
            return self.searches
        room = next((room for kind, room in self.kinds if kind.search(path)), self.pages)
        return self.pages if room is self.lists and ONE_FEATURE.search(path) else room


def _one_at_a_time(application):
    """WSGI: of several answers one piece is made at a time, so that they take one share of the processor together; who
    waits for a slow reader is at none."""
    turn, over = threading.Lock(), object()

    def answered(environ, start_response):
        with turn:
            pieces = application(environ, start_response)
        try:
            each = iter(pieces)
            while True:
                with turn:
                    piece = next(each, over)
                if piece is over:
                    return
                yield piece
        finally:
            getattr(pieces, "close", lambda: None)()

    return answered


async def _come_again(scope, send, sentence: str, seconds: int):
    as_json = (
        ".json" in scope["path"]
        or b"format=json" in scope["query_string"]
        or scope["path"].endswith(("try/", "without/"))
    )
    body = json.dumps({"error": sentence, "retry_after": seconds}).encode() if as_json else sentence.encode()
    kind = b"application/json" if as_json else b"text/plain"
    headers = [(b"content-type", kind), (b"retry-after", str(seconds).encode())]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})
