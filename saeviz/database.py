"""Which database does DATABASE_URL name?"""

import re
from pathlib import Path

import dj_database_url

KINDS = {"postgres", "postgresql", "sqlite"}
QUOTE = (
    "Write postgres://user:password@host:5432/name, with %23 for # in a password, %40 for @, %2F for / and %25 for %."
)
# Readers go on reading while a worker writes; a second writer waits instead of failing at once.
SQLITE = {
    "timeout": 30,
    "transaction_mode": "IMMEDIATE",
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA mmap_size=268435456;",
}


def configuration(url: str, data: Path) -> dict:
    """As Django wants it; without an address it is SQLite in the data folder. Raises ValueError, in one line."""
    url = url.strip()
    if why := problem(url):
        raise ValueError(why)
    found = dj_database_url.parse(
        url or f"sqlite:///{data / 'saeviz.sqlite3'}", conn_max_age=60, conn_health_checks=True
    )
    found["DISABLE_SERVER_SIDE_CURSORS"] = True  # a transaction pooler gives the next query to another connection
    if found["ENGINE"].endswith("sqlite3"):
        found["OPTIONS"] = SQLITE
    return found


def problem(url: str) -> str:
    """What is wrong with it, and how to write it; "" where nothing is. Its password is not repeated."""
    if not url:
        return ""
    kind = url.split("://", 1)[0] if "://" in url else ""
    if kind not in KINDS:
        return f"DATABASE_URL={masked(url)} names no database that is known here (postgres://, sqlite:///). {QUOTE}"
    try:
        found = dj_database_url.parse(url)
    except ValueError:
        return f"DATABASE_URL={masked(url)} cannot be read. {QUOTE}"
    if not found["NAME"]:
        return f"DATABASE_URL={masked(url)} names no database after the last /. {QUOTE}"
    if kind == "sqlite" and found["NAME"] == ":memory:":
        return f"DATABASE_URL={url} names no file, and nothing would be kept. Write sqlite:////folder/saeviz.sqlite3."
    return ""


def masked(url: str) -> str:
    """Without its password: whatever stands between the first : after :// and the last @."""
    return re.sub(r"(://[^:/@]*:).*@", r"\1...@", url)
