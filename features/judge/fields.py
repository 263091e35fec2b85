"""What may stand in a judgement? Typed, imported or machine-made, it is checked here."""

from ..messages import BadRequest
from ..models import Judgement

FIELDS = ("star", "label", "note", "tags", "grade")
EMPTY = {"star": False, "label": "", "note": "", "tags": [], "grade": ""}
LONGEST = {"label": 200, "note": 10_000}
MOST_TAGS, LONGEST_TAG = 20, 50


def checked(values: dict) -> dict:
    """The same fields as they are stored. Raises BadRequest, which names the field and both numbers."""
    if unknown := sorted(set(values) - set(FIELDS)):
        raise BadRequest(f"A judgement has no {', '.join(map(str, unknown))}; it has {', '.join(FIELDS)}.")
    return {name: CHECKS[name](value) for name, value in values.items()}


def said(judgement: Judgement) -> dict:
    """All its fields."""
    return {name: getattr(judgement, name) for name in FIELDS}


def _star(value) -> bool:
    if not isinstance(value, bool):
        raise BadRequest(f"A star is true or false, not {str(value)[:40]!r}.")
    return value


def _text(name: str):
    def check(value) -> str:
        if not isinstance(value, str):
            raise BadRequest(f"A {name} is text, not {type(value).__name__}.")
        value = _storable(value) if name == "note" else " ".join(_storable(value).split())
        if len(value) > LONGEST[name]:
            raise BadRequest(f"The {name} has {len(value):,} characters; at most {LONGEST[name]:,} are kept.")
        return value

    return check


def _tags(value) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(tag, str) for tag in value):
        raise BadRequest("Tags are a list of words.")
    # One that holds a comma is two: commas part them wherever they are typed.
    parts = (" ".join(_storable(part).split()) for tag in value for part in tag.split(","))
    tags = list(dict.fromkeys(part for part in parts if part))
    if len(tags) > MOST_TAGS:
        raise BadRequest(f"There are {len(tags)} tags; at most {MOST_TAGS} are kept.")
    if long := next((tag for tag in tags if len(tag) > LONGEST_TAG), None):
        raise BadRequest(f"The tag “{long[:20]}…” has {len(long)} characters; at most {LONGEST_TAG} are kept.")
    return tags


def _grade(value) -> str:
    if value not in ("", *Judgement.Grade.values):
        raise BadRequest(f"A grade is {', '.join(Judgement.Grade.values)} or none, not {str(value)[:40]!r}.")
    return value


def _storable(text: str) -> str:
    """PostgreSQL stores no NUL, and no database half of a surrogate pair."""
    return text.replace("\0", "␀").encode(errors="replace").decode()


CHECKS = {"star": _star, "label": _text("label"), "note": _text("note"), "tags": _tags, "grade": _grade}
