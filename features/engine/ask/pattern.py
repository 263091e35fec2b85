"""What does a pattern over text consist of? The parts that the grammar (grammar.py) makes of what was typed.

A pattern holds on tokens. Every part knows where it stands in what was typed, for errors that point there.
"""

from dataclasses import dataclass


class PatternError(ValueError):
    """A pattern that cannot be read, or that a corpus cannot answer; knows where in the pattern that is."""

    def __init__(self, message: str, pattern: str = "", at: int = 0):
        super().__init__(message)
        self.pattern, self.at = pattern, min(at, len(pattern))

    def __str__(self):
        return f"{self.args[0]} (at character {self.at + 1})"

    def pointed(self) -> str:
        """The pattern on one line, and a mark below the place on the next."""
        return f"{self.pattern}\n{' ' * self.at}^"


@dataclass(frozen=True)
class Part:
    """A part of a pattern, and the character at which it begins."""

    at: int


@dataclass(frozen=True)
class Text(Part):
    """These very characters."""

    text: str


@dataclass(frozen=True)
class Words(Part):
    """Whole words one after another, in capitals or not."""

    words: tuple[str, ...]


@dataclass(frozen=True)
class Regex(Part):
    """A regular expression of RE2, with its flags in front: (?i)...."""

    source: str


@dataclass(frozen=True)
class Touched(Part):
    """All tokens that a match of this text, these words or this expression has characters of."""

    inner: Text | Words | Regex


@dataclass(frozen=True)
class Tokens(Part):
    """Tokens whose own text is one of these texts, or holds a match of one of these expressions."""

    texts: tuple[Text, ...]
    expressions: tuple[Regex, ...]


@dataclass(frozen=True)
class Ids(Part):
    """Tokens with one of these ids."""

    ids: tuple[int, ...]


@dataclass(frozen=True)
class Beside(Part):
    """Tokens that have one on which `inner` holds within so many counted tokens `before` or `after` them."""

    inner: Part
    before: int
    after: int


@dataclass(frozen=True)
class Position(Part):
    """Tokens at some positions, both ends included, of their row (BOS is at 0) or document (its first token is)."""

    of_document: bool
    first: int
    last: int | None  # None: to the end


@dataclass(frozen=True)
class Kind(Part):
    """Tokens of documents of these kinds."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class InCorpus(Part):
    """All tokens, where the corpus is one of these; none elsewhere."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class Inside(Part):
    """Tokens that end between two marks: brackets, quotes, code."""

    marks: str  # one of enclosed.MARKS


@dataclass(frozen=True)
class Not(Part):
    inner: Part


@dataclass(frozen=True)
class All(Part):
    """Tokens on which every part holds."""

    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Some(Part):
    """Tokens on which any part holds."""

    parts: tuple[Part, ...]
