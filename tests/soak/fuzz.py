"""Requests that nobody means: every address of the site, with parameters that it reads and values that do not fit."""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes, urlencode

from django.urls import get_resolver

ROOT = Path(__file__).resolve().parents[2]
READS = re.compile(r"""(?:GET|POST|query|given|request)(?:\.get|\.getlist|\.pop)?[\[(]\s*["'](\w+)["']""")
VALUES = [
    *("", "0", "1", "2", "5", "-1", "3,4", "1,,2", ",", "8", "9" * 24, "9" * 400, "1e999", "-0.0", "nan", "inf"),
    *("0x10", "1_000", "+1", " 1 ", "\u0663", "\u00b2", "\u00bd", "1.5", "-1e-320", "None", "[]", "{}", "[" * 3000),
    *("\0", "a\0b", "\x85", "\u202e", "\ufeff", "\U0001f600", "e\u0301" * 50, "a" * 9000, "\n\r\t", "\\", "%s%n"),
    *("<script>alert(1)</script>", "' OR 1=1 --", '"', "../../etc/passwd", "/etc/passwd", "C:\\", "javascript:1"),
    *("print", "token(/script/)", "/(a+)+$/", "/[/", "/(?i", "(" * 2000, "a and", "not", "inside(", "inside(quotes)"),
    *('token(" I") and after(",")', "kind(x)", "next(" * 300, "/" + "(" * 500 + "/", "top 5%", "q0.9", "max", "f1"),
    *("json", "csv", "ascending", "-maximum", "density", "label", "act_quantile", "loss_effect", "chat", "special"),
]  # fmt: skip
RAW = ["%ff%fe", "%ed%a0%80", "%c0%80", "%", "%zz", "+", "%00"]  # bytes that are no UTF-8, or no escapes
STRANGE = {  # of each converter
    "slug": ["nothing", "-", "a" * 200, "_"],
    "number": ["0", "1", "5", "7", "8", "-1", "-0", "007", "9" * 30],
    "int": ["0", "1", "2", "999999", "9" * 30],
    "uuid": ["00000000-0000-0000-0000-000000000000"],
    "str": ["a", "-1", "100", "%00", "%ff", "a" * 300, "sae.pt"],
    "path": ["a", "../a", "%00", "features/job/", "a" * 300],
}
OFTEN = ["q", "text", "feature", "from", "by", "sort", "show", "page", "position", "rank", "top", "add"]
OF_A_REGEX = re.compile(r"\(\?P<(\w+)>\(?[^()]*\)?\)|^\^|(?<=/)\^|\$$|\\")  # groups, and what else is not of a path
METHODS = ["GET"] * 8 + ["POST", "HEAD", "PUT"]


@dataclass(frozen=True)
class Request:
    method: str
    path: str  # quoted, with its query
    body: str  # of a form

    def __str__(self):
        return f"{self.method} {self.path[:300]} {self.body[:100]}".rstrip()


def routes(resolver=None, before: str = "") -> Iterator[str]:
    """Every address, its parameters as <converter:name>."""
    for pattern in (resolver or get_resolver()).url_patterns:
        route = before + str(pattern.pattern)
        if hasattr(pattern, "url_patterns"):
            yield from routes(pattern, route)
        else:
            yield OF_A_REGEX.sub(lambda found: f"<str:{found[1]}>" if found[1] else "", route)


def parameters() -> list[str]:
    """The names that anything here reads off a request, found in its source."""
    sources = [path.read_text() for room in ("features", "prompts", "saeviz") for path in (ROOT / room).rglob("*.py")]
    return sorted({name for source in sources for name in READS.findall(source)})


def requests(seed: int, count: int, known: dict[str, list[str]]) -> Iterator[Request]:
    """`known`: of parameters of addresses, values that there are; half of the requests have them."""
    draw, names = random.Random(seed), parameters() + OFTEN * 4
    every = [route for route in routes() if "(" not in route and "logout" not in route]
    draw.shuffle(every)
    for number in range(count):
        route = every[number % len(every)]

        def value(found, draw=draw):
            kind, name = found[1] or "str", found[2]
            likely = known.get(name, [])
            return draw.choice(likely) if likely and draw.random() < 0.7 else draw.choice(STRANGE.get(kind, ["a"]))

        path = "/" + re.sub(r"<(?:(\w+):)?(\w+)>", value, route)
        query = [_pair(draw, names) for _ in range(draw.randrange(7))]
        method = draw.choice(METHODS)
        body = "&".join(_pair(draw, names) for _ in range(draw.randrange(5))) if method in ("POST", "PUT") else ""
        yield Request(method, path + ("?" + "&".join(query) if query else ""), body)


def _pair(draw, names) -> str:
    name = draw.choice(names)
    if draw.random() < 0.05:
        return f"{name}={draw.choice(RAW)}"
    return urlencode({name: draw.choice(VALUES)}, quote_via=quote)


def unquoted(path: str) -> str:
    """As a server hands it on: bytes, one a character."""
    return unquote_to_bytes(path).decode("latin-1")
