"""Nobody stops the site by being slow: half a request costs no thread, and is ended after a while."""

import http.client
import json
import os
import queue
import socket
import threading
import time
from contextlib import ExitStack, suppress

import pytest

from features import runtime
from features.ask import admission
from saeviz.serving import addresses, connections, rooms, whole_requests
from saeviz.serving import server as serving_server
from saeviz.serving.server import QUESTIONS, server
from tests.soak.files import resident

HALF_HEAD = b"GET / HTTP/1.1\r\nHost: a\r\nX-Half"
HALF_BODY = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nhalf"


HOLDING, GO = queue.Queue(), threading.Event()
PIECE, PIECES = b"x" * (1 << 16), 1500  # of a large answer, 98 MB


def echo(environ, start_response):
    if "hold" in environ["QUERY_STRING"]:
        HOLDING.put(1)
        GO.wait(60)
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Seen", environ.get("HTTP_X_REAL", "nothing"))])
    if "large" in environ["QUERY_STRING"]:
        return (PIECE for _ in range(PIECES))
    return [str(len(body)).encode()]


@pytest.fixture
def port(monkeypatch):
    """Of a server with two threads, which answers how long a body was."""
    monkeypatch.setattr(connections, "HEAD_SECONDS", 2)
    monkeypatch.setattr(whole_requests, "BODY_SECONDS", 2)
    monkeypatch.setattr(serving_server, "QUESTIONS", 1)
    monkeypatch.setattr(serving_server, "FILES", 1)
    monkeypatch.setenv("SAEVIZ_CONNECTIONS", "6")  # of each address but this machine's
    GO.clear()
    HOLDING.queue.clear()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = server(echo, threads=2)
        thread = threading.Thread(target=serving.run, kwargs={"sockets": [listener]})
        thread.start()
        yield listener.getsockname()[1]
        serving.should_exit = serving.force_exit = True
        thread.join(60)


def test_pages_never_wait_for_threads_that_questions_and_files_hold(port):
    """The server has 1 thread for questions, 1 for files, 1 for searches, and room for more of each to wait."""
    with ExitStack() as open_ones:
        held = []
        search = "/saes/a/features/?q=hold&b%79=examples"
        for path in ["/below/saes/a/prompt/?text=hold", "/saes/a/features.csv?hold", search] * 4:
            each = open_ones.enter_context(socket.create_connection(("127.0.0.1", port)))
            held.append(each)
            each.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        while HOLDING.qsize() < 3:
            time.sleep(0.001)
        for path in ("/", "/saes/a/features/3/", "/saes/a/features/3.json", "/saes/a/model.json"):
            assert asked(port, path=path) == (200, "nothing", b"0")
        status, _, said = refused = asked(port, path="/saes/a/ask.json?q=a")
        assert status == 503 and json.loads(said)["retry_after"] == 5, refused
        for kind in (
            "prompt/",
            "features/3/try/",
            "ask/",
            "ask/near.json",
            "features/3/explained.json",
            "features.json",
        ):
            assert asked(port, path=f"/saes/a/{kind}")[0] == 503, kind
        GO.set()
        assert {each.recv(12) for each in held} == {b"HTTP/1.1 200"}
    assert asked(port, path="/saes/a/prompt/") == (200, "nothing", b"0")


@pytest.mark.parametrize("path", ["3/", "3.json", "passing.json", "stored.json", "random/", "", "beside/"])
def test_what_reads_features_by_their_numbers_waits_behind_no_list(path):
    kinds = rooms.Rooms(None, 4, 1, 1, 4, lambda scope: None, 0)
    its = kinds._room_of(f"/saes/a/features/{path}" if path != "beside/" else "/saes/a/beside/", b"")
    assert its is (kinds.lists if path in ("", "beside/") else kinds.pages)


def test_who_finds_no_place_is_told_so_by_a_thread_that_is_free():
    assert runtime.PLACES + admission.line.room < QUESTIONS and rooms.QUESTIONS_OF_ONE <= runtime.PLACES // 2


def asked(port, method="GET", path="/", body=None, source="127.0.0.1", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60, source_address=(source, 0))
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.headers["Seen"], answer.read()


def test_an_address_has_so_many_connections_and_half_of_each_room(port):
    """From 127.0.0.2, which is another's address: one more closes the one that was silent longest, none that works."""
    with ExitStack() as open_ones:

        def connected(source, said=b""):
            each = socket.create_connection(("127.0.0.1", port), 10, (source, 0))
            each.sendall(said)
            return open_ones.enter_context(each)

        silent = [connected("127.0.0.2", HALF_HEAD * (n % 2)) for n in range(6)]
        assert asked(port, source="127.0.0.2") == (200, "nothing", b"0")
        assert asked(port, source="127.0.0.2") == (200, "nothing", b"0")
        assert silent[0].recv(1) == b""  # the oldest gave way
        question = b"GET /saes/a/prompt/?hold HTTP/1.1\r\nHost: a\r\n\r\n"
        asking = [connected("127.0.0.2", question) for _ in range(2)]
        HOLDING.get(timeout=10)
        assert asked(port) == (200, "nothing", b"0")  # the other has come by then
        status, _, said = asked(port, path="/saes/a/prompt/?format=json", source="127.0.0.2")
        assert status == 503 and "2 requests like this one from your address" in json.loads(said)["error"]
        other = connected("127.0.0.3", question)  # there is room for another's
        pages = [connected("127.0.0.2", question.replace(b"prompt/", b"features/3/")) for _ in range(4)]
        assert asked(port) == (200, "nothing", b"0")
        with suppress(ConnectionError):  # it may be closed before it has asked
            status, _, said = asked(port, source="127.0.0.2")
            assert status == 503 and b"As many requests as one address may have" in said
        assert asked(port, source="127.0.0.3") == asked(port) == (200, "nothing", b"0")  # though he holds pages, too
        GO.set()
        assert {each.recv(12) for each in [*asking, other, *pages]} == {b"HTTP/1.1 200"}


def test_an_address_is_counted_as_who_is_behind_it():
    assert addresses.of(("127.0.0.1", 5)) is addresses.of(("::1", 5)) is addresses.of(None) is None
    assert addresses.of(("::ffff:10.0.0.1", 5)) == addresses.of(("10.0.0.1", 9)) == "10.0.0.1"
    assert addresses.of(("2001:db8::1", 5)) == addresses.of(("2001:db8::ffff:2%eth0", 5)) == "2001:db8::"
    forwarded = [(b"x-forwarded-for", b"1.2.3.4"), (b"x-forwarded-for", b"8.8.8.8, 10.0.0.9")]
    assert addresses.behind_proxy({"headers": forwarded, "client": ("127.0.0.1", 1)}) == "10.0.0.9"
    assert addresses.behind_proxy({"headers": []}) is None


def test_half_requests_keep_no_thread_and_are_ended(port):
    with ExitStack() as open_ones:
        slow = [open_ones.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(60)]
        for number, each in enumerate(slow):
            each.sendall((b"", HALF_HEAD, HALF_BODY)[number % 3])
        began = time.monotonic()
        assert asked(port) == (200, "nothing", b"0")
        assert time.monotonic() - began < 1.9  # before any of them is ended
        for each in slow:
            each.settimeout(60)
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


def test_what_is_long_to_take_apart_is_refused_before_it_is(port):
    """A head of many lines and a body in pieces, in one packet or two; a body of many lines is none of these."""
    lines = HALF_HEAD + b": x\r\na: b" * 400
    pieces = HALF_BODY.replace(b"Content-Length: 1000", b"transfer-encoding: chunked")
    for sent, status in (
        ([lines], b"431"),
        ([lines[:2000], lines[2000:]], b"431"),
        ([pieces], b"411"),
        ([HALF_BODY.replace(b"1000", b"1" + b"0" * 18)], b"413"),
        ([pieces[:40], pieces[40:]], b"411"),
    ):
        with socket.create_connection(("127.0.0.1", port), timeout=5) as each:
            for part in sent:
                each.sendall(part)
                time.sleep(0.05)
            assert each.recv(12) == b"HTTP/1.1 " + status
    assert asked(port, "POST", body=b"a\n" * 100_000) == (200, "nothing", b"200000")
    kept = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    for _ in range(connections.HEAD_LINES // 10):  # of one connection every request has its own lines
        kept.request("GET", "/", headers={f"A{number}": "b" for number in range(20)})
        assert kept.getresponse().read() == b"0"
    assert asked(port, path="/below/admin/login/") == (200, "nothing", b"0")


def test_slow_readers_and_long_lines_take_bounded_memory(port):
    """Fifty readers of 98 MB that take none of it, and lines of 10 MB; pages are answered meanwhile."""
    before, statuses = resident(os.getpid()), []
    with ExitStack() as open_ones:
        held = [open_ones.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(50)]
        for each in held:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            each.sendall(b"GET /saes/a/features.csv?large HTTP/1.1\r\nHost: a\r\n\r\n")
        for _ in range(3):
            with suppress(OSError):
                open_ones.enter_context(socket.create_connection(("127.0.0.1", port))).sendall(b"GET /" + b"a" * 10**7)
            assert asked(port) == (200, "nothing", b"0")
        for each in held:
            each.settimeout(0.3)
            with suppress(TimeoutError):
                statuses.append(each.recv(12))
        assert statuses.count(b"HTTP/1.1 503") >= 46 and resident(os.getpid()) - before < 80 << 20
    while asked(port, path="/saes/a/features.csv")[0] != 200:  # the thread is done with those who are gone
        time.sleep(0.05)
