"""uvicorn around the site's WSGI application: how many connections, threads and bytes."""

import resource
import sys
from functools import partial

import uvicorn

from .. import env
from . import addresses
from .connections import Connection
from .rooms import Rooms
from .whole_requests import WholeRequests

THREADS = 12  # for pages
# Threads for prompts and patterns: more than have a place in features.runtime and in features.ask's line, so that who
# finds no place is told so at once.
QUESTIONS = 20
FILES = 6  # threads for downloads and uploads
CONNECTIONS = 1000  # beyond, requests are answered with 503
LONGEST_HEAD = 1 << 20  # bytes of request line and headers: a prompt that is too long gets the page's own answer
CHUNKS = 512  # of an answer that wait for a slow reader, before its thread waits as well
# Seconds after which a thread that waits for the interpreter asks for it: a page gives it up some twenty times, at each
# query and each piece that it sends, and waits so long for it whenever others compute.
SWITCH = 0.001


def server(application, threads: int = THREADS, **options) -> uvicorn.Server:
    """Ready to `run`. Logs go where the application's go."""
    _allow_files(2 * CONNECTIONS)
    sys.setswitchinterval(SWITCH)
    most, believed = env.number("SAEVIZ_CONNECTIONS"), env.switch("SAEVIZ_BEHIND_TLS")
    # The connections of a believed proxy are those of many: of them it says itself whose each request is.
    crowd = addresses.Crowd(0 if believed else most)
    named = addresses.behind_proxy if believed else lambda scope: addresses.of(scope.get("client"))
    whose = named if most else lambda scope: None
    config = uvicorn.Config(
        WholeRequests(Rooms(application, threads, QUESTIONS, FILES, CHUNKS, whose, most)),
        http=partial(Connection, crowd),
        ws="none",
        lifespan="off",
        loop="asyncio",
        proxy_headers=False,  # the site believes its own settings (saeviz/doors)
        server_header=False,
        log_config=None,
        limit_concurrency=CONNECTIONS,
        h11_max_incomplete_event_size=LONGEST_HEAD,
        timeout_graceful_shutdown=2,
        **options,
    )
    return uvicorn.Server(config)


def _allow_files(wanted: int) -> None:
    """As many open files as connections need, where the system lets this process have them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
