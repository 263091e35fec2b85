"""How is a pattern read? A small grammar, every error of which says where it is.

    pattern  = both {"or" both}
    both     = one {"and" one}
    one      = "not" one | "(" pattern ")" | text | words | regex | call
    text     = '"' these very characters '"'        \\" \\\\ \\n \\t and \\xhh inside
    words    = word {word}                          whole words, one after another, in capitals or not
    regex    = "/" an expression of RE2 "/" {flag}  i: capitals or not; s: . takes line ends too
    call     = name "(" arguments ")"               see CALLS

docs/asking.md explains it with examples.
"""

import difflib
import re

from .enclosed import MARKS
from .pattern import (
    All,
    Beside,
    Ids,
    InCorpus,
    Inside,
    Kind,
    Not,
    Part,
    PatternError,
    Position,
    Regex,
    Some,
    Text,
    Tokens,
    Touched,
    Words,
)

LONGEST = 2000  # characters of a pattern
DEEPEST = 40  # brackets and calls within each other
FARTHEST = 100_000  # tokens: longer rows are not known
ESCAPES = {'"': '"', "\\": "\\", "n": "\n", "t": "\t", "r": "\r", "/": "/"}
LEXEMES = re.compile(
    r"""(?P<space>\s+)|(?P<text>"(?:[^"\\]|\\.)*")|(?P<regex>/(?:[^/\\]|\\.)*/[a-z]*)"""
    r"""|(?P<call>\w+\()|(?P<range>\d*\.\.\d*|\d+(?=\s*[,)]))|(?P<sign>[(),])|(?P<word>[^\s"(),/]+)""",
    re.DOTALL,
)


def parse(pattern: str) -> Part:
    """What was typed as a tree of parts. Raises PatternError."""
    if len(pattern) > LONGEST:
        raise PatternError(f"The pattern has {len(pattern):,} characters; {LONGEST:,} are read.", pattern, LONGEST)
    reader = _Reader(pattern)
    if reader.kind == "end":
        reader.fail('The pattern is empty. Type a word, a text in quotes " the", or an expression /ing$/.')
    part = reader.pattern_part()
    if reader.kind != "end":
        reader.fail(f"Here stands {reader.lexeme!r}, where the pattern could end, or go on with and, or.")
    return part


class _Reader:
    """Goes through the lexemes of a pattern; `kind` and `lexeme` are of the one to be read next."""

    def __init__(self, pattern: str):
        self.typed, self.at, self.end, self.depth = pattern, 0, 0, 0
        self.step()

    def fail(self, message: str, at: int | None = None):
        raise PatternError(message, self.typed, self.at if at is None else at)

    def step(self) -> str:
        """Go on to the next lexeme; the one that was there."""
        lexeme = self.typed[self.at : self.end]
        self.at = self.end
        while (match := LEXEMES.match(self.typed, self.at)) and match.lastgroup == "space":
            self.at = match.end()
        if match is None and self.at < len(self.typed):
            what = "expression" if self.typed[self.at] == "/" else "text"
            self.fail(f"The {what} that begins with {self.typed[self.at]} here is not closed.")
        self.kind, self.end = (match.lastgroup, match.end()) if match else ("end", self.at)
        self.lexeme = self.typed[self.at : self.end]
        if self.kind == "word" and self.lexeme.lower() in ("and", "or", "not"):
            self.kind = self.lexeme.lower()
        return lexeme

    def closed(self, opened: int) -> None:
        """Step over the bracket that closes one at `opened`."""
        if self.lexeme != ")":
            self.fail("The bracket that opens here is not closed.", opened)
        self.depth -= 1
        self.step()

    def deeper(self):
        self.depth += 1
        if self.depth > DEEPEST:
            self.fail(f"More than {DEEPEST} brackets lie within each other here.")

    # The rules, one a method

    def pattern_part(self) -> Part:
        return self._joined("or", self._both, Some)

    def _both(self) -> Part:
        return self._joined("and", self._one, All)

    def _joined(self, word: str, rule, made) -> Part:
        at, parts = self.at, [rule()]
        while self.kind == word:
            self.step()
            parts.append(rule())
        return parts[0] if len(parts) == 1 else made(at, tuple(parts))

    def _one(self) -> Part:
        at = self.at
        if self.kind == "not":
            self.step()
            self.deeper()
            part = Not(at, self._one())
            self.depth -= 1
            return part
        if self.lexeme == "(":
            self.deeper()
            self.step()
            part = self.pattern_part()
            self.closed(at)
            return part
        if self.kind == "call":
            return self._call()
        return self.text_part()

    def text_part(self) -> Text | Words | Regex:
        """What is looked for in the text itself."""
        at = self.at
        if self.kind == "text":
            return Text(at, self._characters())
        if self.kind == "regex":
            return self._regex()
        words = []
        while self.kind in ("word", "range") and self.lexeme:
            words.append(self.step())
        if not words:
            what = "the pattern ends" if self.kind == "end" else f"{self.lexeme!r} stands here"
            self.fail(f"A word, a text in quotes, an expression between slashes or a call has to follow, but {what}.")
        return Words(at, tuple(words))

    def _characters(self) -> str:
        """Those between quotes."""
        at, inner = self.at, self.step()[1:-1]
        if not inner:
            self.fail("There is nothing between the quotes.", at)

        def character(match):
            code = match[1]
            if code[0] == "x" and len(code) == 3:
                return chr(int(code[1:], 16))
            if code not in ESCAPES:
                self.fail(f'\\{code} stands for nothing; \\n, \\t, \\", \\\\ and \\x41 do.', at + 1 + match.start())
            return ESCAPES[code]

        return re.sub(r"\\(x[0-9a-fA-F]{2}|.)", character, inner, flags=re.DOTALL)

    def _regex(self) -> Regex:
        at = self.at
        source, _, flags = self.step()[1:].rpartition("/")
        if wrong := set(flags) - set("is"):
            self.fail(f"There is no flag {min(wrong)!r}; i (capitals or not) and s (. takes line ends) are.", at)
        if not source:
            self.fail("There is no expression between the slashes.", at)
        # m always: ^ and $ are the ends of lines, \A and \z those of the text of a document in its row.
        return Regex(at, f"(?m{flags}){source}".replace("\\/", "/"))

    def _call(self) -> Part:
        at, name = self.at, self.lexeme[:-1].lower()
        if name not in CALLS:
            near = difflib.get_close_matches(name, CALLS, 1)
            hint = f"Did you mean {near[0]}(…)?" if near else f"There are {', '.join(CALLS)}."
            self.fail(f"There is no {name}(…). {hint}")
        self.deeper()
        self.step()
        part = CALLS[name](self, at)
        self.closed(at)
        return part

    # What calls are called with

    def number(self, what: str) -> int:
        if self.kind != "range" or not self.lexeme.isdigit():
            self.fail(f"{what} has to be a whole number, not {self.lexeme or 'nothing'!r}.")
        at, value = self.at, int(self.step()[:12])
        if value > 2**32 - 1:
            self.fail(f"{what} is {value:,}, larger than any.", at)
        return value

    def list_of(self, one) -> tuple:
        """What `one` reads, once or more, with commas between."""
        items = [one()]
        while self.lexeme == ",":
            self.step()
            items.append(one())
        return tuple(items)

    def name(self) -> str:
        """Words or a text in quotes that is the name of something."""
        part = self.text_part()
        if isinstance(part, Regex):
            self.fail("A name has to stand here, not an expression.", part.at)
        return part.text if isinstance(part, Text) else " ".join(part.words)


def _beside(before: bool, after: bool):
    def read(reader: _Reader, at: int) -> Beside:
        inner, distance = reader.pattern_part(), 1
        if reader.lexeme == ",":
            reader.step()
            place, distance = reader.at, reader.number("The number of tokens")
            if not 1 <= distance <= FARTHEST:
                reader.fail(f"{distance:,} tokens; from 1 to {FARTHEST:,} can stand here.", place)
        return Beside(at, inner, distance if before else 0, distance if after else 0)

    return read


def _tokens(reader: _Reader, at: int) -> Tokens:
    parts = reader.list_of(reader.text_part)
    if words := [part for part in parts if isinstance(part, Words)]:
        said = " ".join(words[0].words)
        reader.fail(f'The text of a token stands in quotes: "{said}", or " {said}" with its space.', words[0].at)
    return Tokens(
        at,
        tuple(part for part in parts if isinstance(part, Text)),
        tuple(part for part in parts if isinstance(part, Regex)),
    )


def _ids(reader: _Reader, at: int) -> Ids:
    return Ids(at, reader.list_of(lambda: reader.number("The id of a token")))


def _touched(reader: _Reader, at: int) -> Touched:
    return Touched(at, reader.text_part())


def _position(of_document: bool):
    def read(reader: _Reader, at: int) -> Position:
        first, dots, last = reader.lexeme.partition("..")
        if reader.kind != "range" or max(len(first), len(last)) > 12:
            reader.fail("A position has to stand here: 1, or several 0..9, or all from one on 10..")
        place = reader.at
        reader.step()
        first, last = int(first or 0), int(last) if last else None if dots else int(first)
        if last is not None and last < first:
            reader.fail(f"No position is from {first:,} to {last:,}.", place)
        return Position(at, of_document, first, last)

    return read


def _inside(reader: _Reader, at: int) -> Inside:
    place, marks = reader.at, reader.name()
    if marks not in MARKS:
        reader.fail(f"Inside of {marks!r} is not known; {', '.join(MARKS)} are.", place)
    return Inside(at, marks)


CALLS = {
    "token": _tokens,  # token(" I", /ing$/)     its own text is one of these
    "id": _ids,  # id(40, 41)
    "touch": _touched,  # touch(/\d+/)           all tokens of a match, not the one in which it ends
    "after": _beside(True, False),  # after(",") after(",", 5)    the token before it, one of the five before it
    "before": _beside(False, True),
    "near": _beside(True, True),
    "position": _position(False),  # position(1) position(0..9) position(10..)    in the row
    "document": _position(True),  # the same in the document
    "kind": lambda reader, at: Kind(at, reader.list_of(reader.name)),
    "corpus": lambda reader, at: InCorpus(at, reader.list_of(reader.name)),
    "inside": _inside,  # inside(brackets) inside(quotes) inside(code)
}
