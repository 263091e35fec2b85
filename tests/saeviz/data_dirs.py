"""A DATA_DIR that moves to another place and another version: the paths in its rows, and what its pages show.

    DATA_DIR=... python -m tests.saeviz.data_dirs < addresses.json > shown.json

Knows addresses and no module of the site, so that it asks every version alike.
"""

import json
import os
import re
import sqlite3
import sys
from contextlib import closing
from difflib import SequenceMatcher
from html.parser import HTMLParser

SOMEWHERE = "/data-dir-placeholder"  # stands for the folder in what is kept
STAFF = "staff:"  # in front of an address that is asked for by somebody who may compute statistics
WORD_FOR_WORD = {"h1", "th", "td", "dd"}
IN_PLACE_OF = (
    (r"from features[^\\\n]*import[^\\\n]*(\\n|\n)", ""),  # a program's: modules may move
    (r"unembedding = subject\.model\.unembedding", "head = subject.model.head"),  # and what they hold be renamed
    (r"unembedding\.unscaled\(unembedding\.centre", "head.unscaled(head.centre"),
    (r"rows\[:, 1:\]", "rows"),  # BOS was left out as a special token, and is left out by its place now
    (r"\)\[1(:, \d+\])", r")[\1"),
    (r"row\[1:\]", "row"),
    (r"    counted = ~np\.isin\(row, sorted\(special\)\)(\\n|\n)", ""),
    (
        r"torch\.from_numpy\(counted\)",
        "~torch.isin(torch.tensor(row), torch.tensor(sorted(special), dtype=torch.long))",
    ),
    (r"Not heard from for \d+ s", "Not heard from for … s"),
)


def move(database, old: str, new: str) -> None:
    """Put `new` in the place of `old` in every text of a SQLite database."""
    with closing(sqlite3.connect(database)) as rows, rows:
        tables = [name for (name,) in rows.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for _, column, kind, *_ in rows.execute(f'PRAGMA table_info("{table}")').fetchall():
                if "char" in kind.lower() or kind.lower() == "text":
                    put = f'UPDATE "{table}" SET "{column}" = replace("{column}", ?1, ?2)'
                    rows.execute(f'{put} WHERE instr("{column}", ?1)', (old, new))


def shown(addresses: list[str]) -> dict:
    """Address -> what the page there says, in the words and figures that a comparison can rest on."""
    from django.contrib.auth import get_user_model
    from django.test import Client

    staff, reader = Client(SERVER_NAME="127.0.0.1"), Client(SERVER_NAME="127.0.0.1")
    staff.force_login(get_user_model().objects.get(username="ada"))
    asked = {address: staff if address.startswith(STAFF) else reader for address in addresses}
    return {address: _said(client.get(_whole(address.removeprefix(STAFF)))) for address, client in asked.items()}


def _whole(address: str) -> str:
    """Of a feature with whole rows, as all answers had them once."""
    return f"{address}?context=whole" if re.search(r"/features/\d+(/|\.json)$", address) else address


def _said(response) -> dict:
    text = response.content.decode().replace(os.environ["DATA_DIR"], SOMEWHERE)
    for pattern, instead in IN_PLACE_OF:
        text = re.sub(pattern, instead, text)
    if response.headers["Content-Type"].startswith("application/json"):
        return {"status": response.status_code, "data": json.loads(text)}
    page = Page()
    page.feed(text)
    return {"status": response.status_code, "texts": page.texts, "data": page.data}


class Page(HTMLParser):
    """Of the main part: heading and cells word for word, addresses of features, of other prose only what has a digit
    in it; and what scripts are given. So a sentence may be written anew, a figure may not."""

    def __init__(self):
        super().__init__()
        self.open, self.texts, self.data, self.script = [], [], {}, None

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        told = dict(attributes)
        if tag == "script":
            self.script = told.get("id") if told.get("type") == "application/json" else None
        if tag == "a" and "main" in self.open and re.search(r"\d", told.get("href", "")):
            self.texts.append(told["href"])

    def handle_endtag(self, tag):
        while tag in self.open and self.open.pop() != tag:
            pass  # of tags that have no end

    def handle_data(self, text):
        if "script" in self.open:
            self.data |= {self.script: json.loads(text)} if self.script else {}
        elif "main" in self.open:
            words = text.split()
            word_for_word = WORD_FOR_WORD & set(self.open)
            found = [" ".join(words)] if word_for_word else [word for word in words if re.search(r"\d", word)]
            self.texts += filter(None, found)


def lost(before: list[str], now: list[str]) -> list[str]:
    """What no longer stands where it stood; more may have come in between."""
    same = SequenceMatcher(None, before, now, autojunk=False).get_matching_blocks()
    kept = {at for block in same for at in range(block.a, block.a + block.size)}
    return [text for at, text in enumerate(before) if at not in kept]


def as_far_as(before, now):
    """What is said now without what was not said before: pages may tell more."""
    if isinstance(before, dict) and isinstance(now, dict):
        return {name: as_far_as(before[name], told) for name, told in now.items() if name in before}
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        return [as_far_as(*pair) for pair in zip(before, now, strict=True)]
    return now


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "saeviz.settings")
    import django

    django.setup()
    json.dump(shown(json.load(sys.stdin)), sys.stdout)
