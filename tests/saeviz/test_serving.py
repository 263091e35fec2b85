"""Nobody stops the site by being slow: half a request costs no thread, and is ended after a while."""

import http.client
import socket
import threading
import time
from contextlib import ExitStack, suppress

import pytest

from saeviz.serving import connections, whole_requests
from saeviz.serving.server import server

HALF_HEAD = b"GET / HTTP/1.1\r\nHost: a\r\nX-Half"
HALF_BODY = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nhalf"


def echo(environ, start_response):
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Seen", environ.get("HTTP_X_REAL", "nothing"))])
    return [str(len(body)).encode()]


@pytest.fixture
def port(monkeypatch):
    """Of a server with two threads, which answers how long a body was."""
    monkeypatch.setattr(connections, "HEAD_SECONDS", 2)
    monkeypatch.setattr(whole_requests, "BODY_SECONDS", 2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = server(echo, threads=2)
        thread = threading.Thread(target=serving.run, kwargs={"sockets": [listener]})
        thread.start()
        yield listener.getsockname()[1]
        serving.should_exit = serving.force_exit = True
        thread.join(10)


def asked(port, method="GET", path="/", body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.headers["Seen"], answer.read()


def test_half_requests_keep_no_thread_and_are_ended(port):
    with ExitStack() as open_ones:
        slow = [open_ones.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(60)]
        for number, each in enumerate(slow):
            each.sendall((b"", HALF_HEAD, HALF_BODY)[number % 3])
        began = time.monotonic()
        assert asked(port) == (200, "nothing", b"0")
        assert time.monotonic() - began < 1.9  # before any of them is ended
        for each in slow:
            each.settimeout(10)
        said = [each.recv(100) for each in slow]
    assert set(said[0::3]) == {b""} == set(said[1::3])
    assert all(answer.startswith(b"HTTP/1.1 408") for answer in said[2::3])


def test_bodies_come_whole_and_what_is_too_long_or_in_disguise_is_refused(port):
    assert asked(port, "POST", body=b"x" * 3_000_000) == (200, "nothing", b"3000000")
    with suppress(ConnectionError):  # the rest of it is not waited for
        assert asked(port, path="/" + "a" * 2_000_000)[0] == 400
    assert asked(port)[0] == 200
    assert asked(port, X_Real="1.2.3.4") == (200, "nothing", b"0")
    assert asked(port, **{"X-Real": "1.2.3.4"}) == (200, "1.2.3.4", b"0")
