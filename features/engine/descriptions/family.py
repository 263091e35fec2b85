"""Which simple patterns may describe a feature? Each is written in the grammar of docs/asking.md, and in words.

Of a token, the one in front of it and the one behind it: which text it is, out of a few; how it begins or ends; what
kind of token it is. And where a token stands: in documents of a kind, inside of marks, at the beginning.
"""

import re
from dataclasses import dataclass

from ..ask.enclosed import MARKS
from ..text.invisible import visible

LEAST_ACTIVATIONS = 20  # with fewer a feature is too rare to describe
LEAST_F1 = 0.3  # below it no pattern is simple and true
SLOTS = ("on", "after", "before")  # the token itself, what follows one, what one follows
TOKENS_NAMED = 8  # at most, by one set
LONGEST_TEXT = 60  # characters of a token that is named: longer ones are of white space and rules
MOST_BITS = 64  # properties of a token, in one word
SHOWN_TOKENS, SHOWN_CHARACTERS = 4, 24  # in words; the pattern has all

# Kinds of tokens: (an expression, what it is called)
PROPERTIES = (
    (r"\d", "a digit"),
    (r"^\s?\p{Lu}", "a capital"),
    (r"^\s?\p{Lu}{2,}$", "capitals alone"),
    (r"^\s*[^\s\pL\pN]+\s*$", "punctuation"),
    (r"^\s+$", "white space"),
    (r"\n[ \t]*$", "a line break"),
    (r"^ \p{Ll}", "a word in small letters"),
    (r"^\p{Ll}", "small letters without a space in front"),
    (r"[^\x00-\x7f]", "a character beyond ASCII"),
)
AT_LINE = {"after": "at the start of a line", "before": "at the end of a line"}  # beside a line break
AFFIX_LENGTHS = {"ends": (1, 2, 3, 4), "begins": (2, 3, 4, 5)}  # characters, a space in front among them


@dataclass(frozen=True)
class Literal:
    """One condition on a token, or two. `pattern` as it is asked, `words` as it is read."""

    pattern: str
    words: str

    def but_not(self, other: "Literal") -> "Literal":
        return Literal(f"{self.pattern} and not {other.pattern}", f"{self.words}, not {other.words}")

    def and_also(self, other: "Literal") -> "Literal":
        return Literal(f"{self.pattern} and {other.pattern}", f"{self.words} {other.words}")


def named(slot: str, labels: list[str]) -> Literal:
    """The token is one of these texts, or follows or precedes one."""
    said = [f"“{shown(label)}”" for label in labels[:SHOWN_TOKENS]]
    if more := len(labels) - len(said):
        said.append(f"{more} more")
    return Literal(_beside(slot, f"token({', '.join(map(quoted, labels))})"), f"{slot} {_either(said)}")


def affix(end: str, text: str) -> Literal:
    """The token ends, or begins, with this text of letters, digits and a space."""
    escaped = re.sub(r"[^\w ]", lambda found: f"\\x{{{ord(found[0]):x}}}", text)
    expression = f"{escaped}$" if end == "ends" else f"^{escaped}"
    return Literal(f"token(/{expression}/)", f"on tokens that {end[:-1]} with “{shown(text)}”")


def properties(slot: str) -> list[Literal]:
    """What kind of token it is, or the one in front or behind."""
    found = []
    for expression, words in PROPERTIES:
        said = AT_LINE[slot] if words == "a line break" and slot in AT_LINE else f"{slot} {words}"
        found.append(Literal(_beside(slot, f"token(/{expression}/)"), said))
    return found


def places(first: int, kinds: tuple[str, ...]) -> list[Literal]:
    """Where a token stands. `first`: the position of a row's first token that counts, behind a BOS and what is skipped;
    `kinds` of documents."""
    marks = {"round": "round brackets", "square": "square brackets", "curly": "curly brackets"}
    found = [
        Literal("document(0)", "at the start of a document"),
        Literal("document(0..9)", "among a document's first ten tokens"),
        Literal(f"position({first})", "at the start of a row"),
        Literal(f"position({first}..{first + 9})", "among a row's first ten tokens"),
        *(Literal(f"inside({name})", f"in {marks.get(name, name)}") for name in MARKS),
        *(Literal(f"kind({quoted(kind)})", f"in documents of kind “{shown(kind)}”") for kind in kinds),
    ]
    return found[: MOST_BITS - len(SLOTS) * len(PROPERTIES)]


def _beside(slot: str, pattern: str) -> str:
    return pattern if slot == "on" else f"{slot}({pattern})"


def _either(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def can_be_named(label: str) -> bool:
    return 0 < len(label) <= LONGEST_TEXT


def quoted(text: str) -> str:
    """As the grammar reads it: controls by their code."""
    return '"' + re.sub(r'["\\\x00-\x1f\x7f-\xa0]', lambda found: _escaped(found[0]), text) + '"'


def _escaped(character: str) -> str:
    written = {'"': r"\"", "\\": r"\\", "\n": r"\n", "\t": r"\t"}
    return written.get(character) or f"\\x{ord(character):02x}"


def shown(text: str) -> str:
    """As words say it: outer spaces as dots, what cannot be seen spelled, and not too long."""
    middle = text.strip(" ")
    before, after = len(text) - len(text.lstrip(" ")), len(text) - len(text.rstrip(" ")) if middle else 0
    seen = "·" * before + visible(middle) + "·" * after
    return seen if len(seen) <= SHOWN_CHARACTERS else f"{seen[: SHOWN_CHARACTERS - 1]}…"
