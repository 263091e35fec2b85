"""What does the site keep, and how is each removed? Rooms register what is theirs; one list for page and command."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from ...messages import BadRequest


@dataclass(frozen=True)
class Measured:
    """What one thing takes, and when it was last read where somebody knows."""

    bytes: int
    used: datetime | None = None


@dataclass(frozen=True)
class HeldItem:
    """One thing that is kept. `measure` may read the whole disk: never inside a request."""

    key: str  # of its kind
    what: str
    measure: Callable[[], Measured]
    of: str = ""  # what it belongs to
    url: str = ""  # the page of that
    made: datetime | None = None
    used: datetime | None = None  # last
    loses: str = ""  # beyond what all of its kind lose: a sentence
    again: Callable[[], str] | None = None  # what it takes to have it again, where this one's is known: a sentence


@dataclass(frozen=True)
class Holding:
    """A kind of things. `remove` takes a key; both it and `why_not` are asked of one that is there."""

    name: str  # one word: `manage.py kept --remove NAME KEY`
    title: str
    loses: str  # what who removes one goes without: a sentence
    again: str  # how one is made again: a sentence
    items: Callable[[], Iterable[HeldItem]]  # a few queries, or names in a folder
    remove: Callable[[str], None]  # may take long; raises BadRequest where it is in use since
    why_not: Callable[[str], str] = lambda key: ""  # who uses it now, and the way out; empty: it may go
    permission: str = "features.delete_statistics"


REGISTERED: dict[str, Holding] = {}


def register(holding: Holding) -> None:
    REGISTERED[holding.name] = holding


def find(name: str, key: str) -> tuple[Holding, HeldItem]:
    """Raises BadRequest where there is none."""
    if name not in REGISTERED:
        raise BadRequest(f"Nothing of the kind {name!r} is kept. Known: {', '.join(REGISTERED)}.")
    item = next((item for item in REGISTERED[name].items() if item.key == key), None)
    if item is None:
        raise BadRequest(f"No {name} is called {key!r}. `manage.py kept` lists them.")
    return REGISTERED[name], item


def remove(name: str, key: str) -> HeldItem:
    """Remove one thing. Raises BadRequest where there is none, or where it is in use."""
    holding, item = find(name, key)
    if why_not := holding.why_not(key):
        raise BadRequest(why_not)
    holding.remove(key)
    return item


def at_work(*rows) -> str:
    """Who uses it: the first of some unfinished work, as a sentence with its way out; empty where nobody does."""
    for queryset in rows:
        if work := queryset.unfinished().first():
            return f"It is in use: {work}. Cancel that first, or wait until it is done."
    return ""
