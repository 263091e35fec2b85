"""What a stranger's program can send that no browser does, and what is dear to answer."""

import gzip
import json
import socket
import threading
import time
from collections import Counter
from contextlib import suppress

from .attacks import _listed, _together
from .site import SLUG, Readers, Site

HOST = b"Host: 127.0.0.1\r\n"
SAE = f"/saes/{SLUG}".encode()
POST, ASK = (b"POST " + path + b" HTTP/1.1\r\n" + HOST for path in (b"/", SAE + b"/prompt/"))
ODD = {  # what it is: bytes
    "100,000 headers": b"GET / HTTP/1.1\r\n" + HOST + b"a: b\r\n" * 100_000 + b"\r\n",
    "a body of 100,000 pieces": ASK + b"Transfer-Encoding: chunked\r\n\r\n"
    + b"1\r\na\r\n" * 100_000 + b"0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
    "length and pieces": POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
    "a length of 10^18": ASK + b"Content-Length: 1" + b"0" * 18 + b"\r\n\r\n",
    "a negative length": POST + b"Content-Length: -1\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "another host": b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "an upgrade": b"GET / HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500,
    "bytes in the path": b"GET /\xff\xfe\x80 HTTP/1.1\r\n" + HOST + b"\r\n",
    "a path of dots": b"GET /static/../../../../etc/passwd HTTP/1.1\r\n" + HOST + b"\r\n",
    "a whole address": b"GET http://127.0.0.1:1/health/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "a cookie of 500 kB": b"GET / HTTP/1.1\r\n" + HOST + b"Cookie: " + b"a=b; " * 100_000 + b"\r\n\r\n",
    "ranges": b"GET /static/shared/base.css HTTP/1.1\r\n" + HOST + b"Range: bytes=" + b"0-1," * 10_000 + b"5-\r\n\r\n",
    "100 requests in one": (b"GET " + SAE + b"/features/5.json HTTP/1.1\r\n" + HOST + b"\r\n") * 100,
}  # fmt: skip
DEAR = [  # pages and files that take long
    *(
        "features/?q=the&by=examples",
        "features/?q=%2F(a%2B)%2B%24%2F&by=examples",
        "features/?sort=-maximum&page=99999",
    ),
    *(
        "features.json",
        "features.csv?columns=all",
        "features.parquet",
        "map/",
        "overview/",
        "map.json",
        "overview.json",
    ),
]
DEEP = "[" * 100_000


def odd_requests(site: Site, seconds: float) -> str:
    """Requests that are none, each five times."""
    told, slow = [], 0.0
    with Readers(site) as readers:
        for what, sent in ODD.items():
            statuses, began = Counter(), time.monotonic()
            for _ in range(5):
                statuses[_answer(site, sent)] += 1
            slow = max(slow, (time.monotonic() - began) / 5)
            told.append(f"{what}: {_listed(statuses)}")
    return f"{readers}; {slow:.2f} s the longest\n    " + "\n    ".join(told)


def log_ins(site: Site, seconds: float) -> str:
    """50 that try passwords of names that nobody has."""
    statuses, until = Counter(), time.monotonic() + seconds / 2

    def client(number=0):
        while time.monotonic() < until:
            number += 1
            page = site.ask("/admin/login/", Accept="text/html")
            cookie = page[3].get("set-cookie", page[3].get("Set-Cookie", "")).split(";")[0]
            token = page[1].partition(b'csrfmiddlewaretoken" value="')[2][:64].decode()
            body = f"csrfmiddlewaretoken={token}&username=u{threading.get_ident()}{number}&password={'p' * 3000}"
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            statuses[site.ask("/admin/login/", "POST", body, Cookie=cookie, **kind)[0]] += 1

    with Readers(site) as readers:
        _together(client, 50)
    return f"{readers}; {_listed(statuses)}"


def dear_pages(site: Site, seconds: float) -> str:
    """20 that ask for what takes longest to answer."""
    statuses, until, longest = Counter(), time.monotonic() + seconds / 2, {}

    def client(number=0):
        number = threading.get_ident()
        while time.monotonic() < until:
            number += 1
            page = DEAR[number % len(DEAR)]
            status, _, took, _ = site.ask(f"/saes/{SLUG}/{page}")
            statuses[status] += 1
            longest[page] = max(longest.get(page, 0), took)

    with Readers(site) as readers:
        _together(client, 20)
    slowest = sorted(longest, key=longest.get)[-3:]
    return f"{readers}; {_listed(statuses)}; " + ", ".join(f"{page} {longest[page]:.1f} s" for page in slowest)


def bodies(site: Site, seconds: float) -> str:
    """JSON of a hundred thousand brackets, forms of a hundred thousand fields, files that unpack to gigabytes."""
    kinds = {"Content-Type": "application/json", "Accept": "application/json"}
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    first = site.ask(f"/saes/{SLUG}/labels/7.json", Accept="application/json")
    with suppress(ValueError):
        kinds["X-CSRFToken"] = json.loads(first[1]).get("csrf", "")
        kinds["Cookie"] = first[3].get("set-cookie", first[3].get("Set-Cookie", "")).split(";")[0]
    sent = [
        (f"/saes/{SLUG}/labels/7.json", DEEP, kinds),
        (f"/saes/{SLUG}/labels/7.json", json.dumps({"changes": {"label": "x" * 2_000_000}, "revision": 0}), kinds),
        (f"/saes/{SLUG}/labels/stars.json", json.dumps({"stars": list(range(400_000))}), kinds),
        (f"/saes/{SLUG}/prompt/", "&".join(f"a{n}=1" for n in range(20_000)), form),
        (f"/saes/{SLUG}/prompt/", "text=" + "x" * 3_000_000, form),
        (f"/saes/{SLUG}/prompt/", gzip.compress(b"0" * 10**7), form | {"Content-Encoding": "gzip"}),
        (f"/saes/{SLUG}/prompt/?" + "&".join(f"a{n}=1" for n in range(20_000)), "", form),
    ]
    with Readers(site) as readers:
        answers = [site.ask(path, "POST", body, **headers) for path, body, headers in sent]
    return (
        f"{readers}; {_listed(Counter(status for status, *_ in answers))}, {max(a[2] for a in answers):.1f} s longest"
    )


def _answer(site: Site, sent: bytes) -> str:
    with socket.create_connection(("127.0.0.1", site.port)) as each:
        each.settimeout(5)
        try:
            each.sendall(sent)
            return each.recv(12).decode(errors="replace") or "closed"
        except TimeoutError:
            return "waits"
        except OSError:
            return "closed"
