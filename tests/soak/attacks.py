"""What strangers can do to a site over its network: to hold connections, to ask much, to ask oddly."""

import json
import re
import socket
import threading
import time
from collections import Counter
from contextlib import suppress
from statistics import median
from urllib.parse import quote

from . import fuzz
from .site import NO_ANSWER, SLUG, Readers, Site

MOST = 50  # connections, readers, clients
HEAD = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Half: "
BODY = b"POST /saes/gelu-1l-mini/prompt/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n\r\ntext="
LINE = b"GET /?q=" + b"a" * 10_000_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
LARGE = f"/saes/{SLUG}/features.csv?columns=all".encode()
BACKTRACK = [
    *("/(a+)+$/", "/(a|aa)+$/", "/(.*a){20}/", "/(x+x+)+y/", "/(a{1,500}){1,500}/", "/((((.*)*)*)*)*b/"),
    *("/\\w{0,1000}\\w{0,1000}!/", "next(" * 200 + "/a/" + ")" * 200, "not " * 400 + "/a/", "/(?i:s|ſ)*$/"),
]
PROMPTS = [
    "The river of stone ran",
    "def f(x):\n    return x + ",
    "a" * 3000,
    "🌊" * 400,
    "<|EOS|>" * 100,
    "\0 \x1b[2J",
]


def quiet(site: Site, seconds: float) -> str:
    """Nothing but readers of feature pages."""
    with Readers(site) as readers:
        time.sleep(min(seconds, 10))
    return str(readers)


def held_connections(site: Site, seconds: float) -> str:
    """50 connections that are silent, say half a head, drip one, or send half a body."""
    held, ended = [], Counter()
    with Readers(site) as readers:
        for number in range(MOST):
            each = socket.create_connection(("127.0.0.1", site.port))
            each.sendall((b"", HEAD, HEAD, BODY)[number % 4])
            held.append(each)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for each in held[2::4]:
                with suppress(OSError):
                    each.sendall(b"x")
            time.sleep(1)
        for each in held:
            each.settimeout(0.1)
            try:
                ended[each.recv(12).decode() or "closed"] += 1
            except OSError as error:
                ended["open" if isinstance(error, TimeoutError) else "closed"] += 1
            each.close()
    return f"{readers}; of {MOST}: {_listed(ended)}"


def one_address(site: Site, seconds: float) -> str:
    """One stranger opens 1,100 connections, again as they are closed, and asks the model by 20; another asks too."""
    stranger, other, until = "127.0.0.2", "127.0.0.3", time.monotonic() + seconds
    statuses, others, open_ones = Counter(), Counter(), []

    def client(source, found):
        number = 0
        while time.monotonic() < until:
            number += 1
            text = quote(f"{PROMPTS[0]} {source} {threading.get_ident()} {number}")
            found[site.ask(f"/saes/{SLUG}/prompt/?text={text}&token=2&format=json", source=source)[0]] += 1
            time.sleep(1)

    with Readers(site) as readers:
        for _ in range(20):
            threading.Thread(target=client, args=(stranger, statuses), daemon=True).start()
        threads = [threading.Thread(target=client, args=(other, others), daemon=True) for _ in range(2)]
        for thread in threads:
            thread.start()
        while time.monotonic() < until:
            open_ones = [each for each in open_ones if _is_open(each)]
            while len(open_ones) < 1100 and time.monotonic() < until:
                with suppress(OSError):
                    open_ones.append(socket.create_connection(("127.0.0.1", site.port), 2, (stranger, 0)))
                if len(open_ones) % 100 == 0:
                    break
            time.sleep(0.2)
        held = sum(map(_is_open, open_ones))
        for thread in threads:
            thread.join(100)
    for each in open_ones:
        each.close()
    return (
        f"{readers}; the stranger holds {held} connections, asks {_listed(statuses)}; the other asks {_listed(others)}"
    )


def _is_open(connection: socket.socket) -> bool:
    """Whether the site has not closed it."""
    connection.settimeout(0)
    try:
        return bool(connection.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return True
    except OSError:
        return False


def long_lines(site: Site, seconds: float) -> str:
    """Request lines of 10 MB, four at a time."""
    statuses, took, until = Counter(), [], time.monotonic() + seconds / 4

    def send():
        while time.monotonic() < until:
            began = time.monotonic()
            with suppress(OSError), socket.create_connection(("127.0.0.1", site.port)) as each:
                each.settimeout(60)
                try:
                    each.sendall(LINE)
                    statuses[each.recv(12).decode() or "closed"] += 1
                except OSError:  # it was refused before all of it had been sent
                    statuses["closed"] += 1
            took.append(time.monotonic() - began)

    with Readers(site) as readers:
        _together(send, 4)
    return f"{readers}; {len(took)} lines, {median(took):.2f} s each: {_listed(statuses)}"


def slow_readers(site: Site, seconds: float) -> str:
    """50 that ask for all features as a file and take a byte a second."""
    held, refused = [], 0
    with Readers(site) as readers:
        for _ in range(MOST):
            each = socket.socket()
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            each.connect(("127.0.0.1", site.port))
            each.sendall(b"GET " + LARGE + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            held.append(each)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for each in held:
                each.settimeout(0.001)
                with suppress(OSError):
                    refused += b" 503 " in each.recv(1 if refused >= MOST else 16)
            time.sleep(1)
        for each in held:
            each.close()
    return f"{readers}; {refused} of {MOST} told to come again (503)"


def prompts(site: Site, seconds: float) -> str:
    """50 clients that ask the model, each again as soon as it is answered."""
    statuses, places, took, tickets = Counter(), Counter(), [], set()
    until = time.monotonic() + seconds

    def client(number=0):
        while time.monotonic() < until:
            number += 1
            ticket = f"{threading.get_ident()}-{number}"
            text = quote(f"{PROMPTS[number % 2]} {ticket}")
            tickets.add(ticket)
            asked = f"/saes/{SLUG}/prompt/?text={text}&token=2&format=json&ticket={ticket}"
            status, told, waited, headers = site.ask(asked)
            tickets.discard(ticket)
            statuses[status] += 1
            if status == 200:
                took.append(waited)
            if status == 503:
                time.sleep(min(5, float(headers.get("Retry-After") or headers.get("retry-after") or 1)))

    def watch():
        while time.monotonic() < until:
            for ticket in list(tickets)[:8]:
                with suppress(ValueError):
                    places[json.loads(site.ask(f"/saes/{SLUG}/model.json?ticket={ticket}")[1])["place"]] += 1
            time.sleep(1)

    with Readers(site) as readers:
        threading.Thread(target=watch, daemon=True).start()
        _together(client, MOST)
    places.pop(None, None)
    waited = f", {median(took):.1f} s median, {max(took):.1f} longest" if took else ""
    told = f"; places told: {sorted(places)}" if places else ""
    return f"{readers}; answers {_listed(statuses)}{waited}{told}"


def patterns(site: Site, seconds: float) -> str:
    """Patterns that other engines would backtrack on, without end, ten clients at once."""
    statuses, took, until = Counter(), [], time.monotonic() + seconds / 2

    def client(number=0):
        while time.monotonic() < until:
            number += 1
            pattern = quote(BACKTRACK[(number + threading.get_ident()) % len(BACKTRACK)])
            status, _, waited, _ = site.ask(f"/saes/{SLUG}/ask.json?q={pattern}")
            statuses[status] += 1
            took.append(waited)

    with Readers(site) as readers:
        _together(client, 10)
    return f"{readers}; {len(took)} patterns: {_listed(statuses)}, longest {max(took):.1f} s"


def odd_prompts(site: Site, seconds: float) -> str:
    """Prompts of control characters, special tokens, thousands of letters, and bodies that are none."""
    statuses, known = Counter(), []
    for text in PROMPTS + ["%ff", "x" * 100_000]:
        for more in (
            "",
            "&metric=loss_effect",
            "&special=1&chat=1",
            "&positions=1,2,3&token=-1",
            "&token=9999999999999",
        ):
            status, told, _, _ = site.ask(f"/saes/{SLUG}/prompt/?text={quote(text)}{more}&format=json")
            statuses[status] += 1
            known += [told[:80]] if status >= 500 and status != 503 else []
    return f"{_listed(statuses)}{f'; {known}' if known else ''}"


def addresses(site: Site, seconds: float) -> str:
    """Every address with every parameter that the site reads, by a seed."""
    known = {"slug": [SLUG], "index": ["0", "3", "5", "4095"], "id": ["1"], "form": ["csv", "json", "parquet"]}
    statuses, failed, until = Counter(), [], time.monotonic() + seconds
    for request in fuzz.requests(int(time.time()), 100_000, known):
        if time.monotonic() > until:
            break
        if not re.fullmatch(r"[!-~]+", request.path):
            continue
        kind = {"Content-Type": "application/x-www-form-urlencoded"} if request.body else {}
        status, told, _, _ = site.ask(request.path, request.method, request.body or None, **kind)
        statuses[status] += 1
        if status in (NO_ANSWER, 500):
            failed.append(f"{request}: {told[:80]}")
    return f"{sum(statuses.values())} requests: {_listed(statuses)}" + "".join(f"\n    {each}" for each in failed[:5])


def _together(function, count: int) -> None:
    threads = [threading.Thread(target=function, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)


def _listed(counts: Counter) -> str:
    names = {NO_ANSWER: "no answer"}
    return ", ".join(f"{count} x {names.get(name, name)}" for name, count in sorted(counts.items(), key=str))
