"""On which tokens does a pattern hold? Part by part of it, each over all tokens of a block of rows.

A match holds on the token in which it ends; what is before, after or near is counted in tokens of the same text;
special tokens are counted nowhere.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from .enclosed import inside
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
from .row_text import RowText, TokenBytes
from .spans import check_expression, labels_with, spans


@dataclass
class PatternQuestion:
    """A pattern put to the text of one corpus."""

    part: Part
    tokens: TokenBytes
    typed: str = ""  # for errors that point at it
    corpus: str = ""  # its short name
    kinds: tuple[str, ...] | None = None  # of documents; None: the corpus does not know
    _tables: dict = field(default_factory=dict)  # of Tokens and Ids: which of the vocabulary they name

    def __post_init__(self):
        for part in _within(self.part):
            if isinstance(part, Regex):
                check_expression(part, self.typed)
            if isinstance(part, Tokens | Ids):
                self._tables[part] = self._named(part)
            if isinstance(part, Kind):
                self._check_kinds(part)

    def holds(self, text: RowText) -> np.ndarray:
        """Whether it holds on each token of a block. [n] bool; False on special tokens."""
        return self._holds(self.part, text) & text.counted

    def _holds(self, part: Part, text: RowText) -> np.ndarray:
        return RULES[type(part)](self, part, text)

    # What is in the text

    def _ends(self, part: Text | Words | Regex, text: RowText) -> np.ndarray:
        """Tokens in which a match ends. [n] bool. Same as reference_questions.ends_in: exact."""
        found = np.zeros(len(text), bool)
        _, ends = spans(part, text, self.typed)
        found[text.token_of(ends - 1)] = True
        return found

    def _touched(self, part: Touched, text: RowText) -> np.ndarray:
        """Tokens on which a match has some byte. [n] bool. Same as reference_questions.touched: exact."""
        starts, ends = spans(part.inner, text, self.typed)
        changes = np.zeros(len(text) + 1, np.int32)
        np.add.at(changes, text.token_of(starts), 1)
        np.add.at(changes, text.token_of(ends - 1) + 1, -1)
        # Touched where more matches have begun than have ended on the tokens before.
        return (changes[:-1].cumsum() > 0) & text.has_characters

    def _in_table(self, part: Tokens | Ids, text: RowText) -> np.ndarray:
        table = self._tables[part]
        return table[np.minimum(text.ids, len(table) - 1)] & (text.ids < len(table))

    def _inside(self, part: Inside, text: RowText) -> np.ndarray:
        """Tokens whose last character is inside."""
        if not len(text.bytes):
            return np.zeros(len(text), bool)
        return inside(text.bytes, text.offsets, part.marks)[np.maximum(text.ends - 1, 0)] & text.has_characters

    # Where it is

    def _beside(self, part: Beside, text: RowText) -> np.ndarray:
        """Tokens with one near them, in the same text, on which it holds. [n] bool. Same as reference_questions.beside:
        exact."""
        inner, number = self._holds(part.inner, text) & text.counted, np.arange(len(text))
        found = np.zeros(len(text), bool)
        if part.before:
            # The last token in front on which it holds, -1 where there is none.
            last = np.maximum.accumulate(np.where(inner, number, -1))
            last = np.concatenate([[-1], last[:-1]])
            found |= (last >= number - part.before) & (last >= 0) & (text.text_of[last] == text.text_of)
        if part.after:
            following = np.minimum.accumulate(np.where(inner, number, len(text))[::-1])[::-1]
            following = np.concatenate([following[1:], [len(text)]])
            is_near = following <= np.minimum(number + part.after, len(text) - 1)
            found |= is_near & (text.text_of[np.minimum(following, len(text) - 1)] == text.text_of)
        return found

    def _position(self, part: Position, text: RowText) -> np.ndarray:
        number = np.arange(len(text))
        if part.of_document:
            position = number - text.text_starts[text.text_of]
            if text.document_starts is not None:
                position = text.first + number - text.document_starts
        else:
            # As pages number them: a BOS in front of the row is at 0.
            position = number % text.width + text.first_position
        last = part.last if part.last is not None else np.iinfo(np.int64).max
        return (position >= part.first) & (position <= last)

    def _kind(self, part: Kind, text: RowText) -> np.ndarray:
        wanted = [number for number, kind in enumerate(self.kinds or ()) if kind in part.names]
        return np.isin(text.kinds, wanted) if text.kinds is not None else np.zeros(len(text), bool)

    def _in_corpus(self, part: InCorpus, text: RowText) -> np.ndarray:
        return np.full(len(text), self.corpus in part.names)

    # What is put together

    def _not(self, part: Not, text: RowText) -> np.ndarray:
        return ~self._holds(part.inner, text) & text.counted

    def _all(self, part: All, text: RowText) -> np.ndarray:
        return np.logical_and.reduce([self._holds(each, text) for each in part.parts])

    def _some(self, part: Some, text: RowText) -> np.ndarray:
        return np.logical_or.reduce([self._holds(each, text) for each in part.parts])

    # What a vocabulary or a corpus may not have

    def _named(self, part: Tokens | Ids) -> np.ndarray:
        """Which tokens of the vocabulary it names. [vocabulary] bool. Raises PatternError where one is none."""
        vocabulary, table = self.tokens.vocabulary, np.zeros(self.tokens.vocabulary.size, bool)
        if isinstance(part, Ids):
            for id in part.ids:
                if id >= len(table):
                    raise PatternError(f"There is no token {id:,}; ids go to {len(table) - 1:,}.", self.typed, part.at)
            table[list(part.ids)] = True
            return table
        ids_of = self.tokens.ids_of
        for text in part.texts:
            if text.text not in ids_of:
                pieces = ", ".join(f'"{piece}"' for piece in vocabulary.pieces(vocabulary.ids(text.text, bos=False)))
                raise PatternError(f'No token is "{text.text}"; this text is made of {pieces}.', self.typed, text.at)
            table[ids_of[text.text]] = True
        for expression in part.expressions:
            table |= labels_with(expression, self.tokens.labels, self.typed)
        return table

    def _check_kinds(self, part: Kind) -> None:
        if self.kinds is None:
            raise PatternError(
                "This corpus does not know what kinds of documents it has: it was added by an earlier version, or of "
                "token ids. Add its texts again, in a folder or file for each kind.",
                self.typed,
                part.at,
            )
        for name in part.names:
            if name not in self.kinds:
                known = ", ".join(self.kinds)
                raise PatternError(f'No document is of the kind "{name}"; there are {known}.', self.typed, part.at)


def _within(part: Part):
    """The part and all parts of it."""
    yield part
    inner = [part.inner] if isinstance(part, Not | Beside | Touched) else []
    if isinstance(part, All | Some):
        inner = part.parts
    if isinstance(part, Tokens):
        inner = part.expressions
    for each in inner:
        yield from _within(each)


RULES: dict[type[Part], Callable[[PatternQuestion, Part, RowText], np.ndarray]] = {
    Text: PatternQuestion._ends,
    Words: PatternQuestion._ends,
    Regex: PatternQuestion._ends,
    Touched: PatternQuestion._touched,
    Tokens: PatternQuestion._in_table,
    Ids: PatternQuestion._in_table,
    Inside: PatternQuestion._inside,
    Beside: PatternQuestion._beside,
    Position: PatternQuestion._position,
    Kind: PatternQuestion._kind,
    InCorpus: PatternQuestion._in_corpus,
    Not: PatternQuestion._not,
    All: PatternQuestion._all,
    Some: PatternQuestion._some,
}
