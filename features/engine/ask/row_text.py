"""The text of corpus rows as bytes of UTF-8, with the bytes at which each token ends.

What is matched is one text at a time: the tokens of one document in one row. BOS, EOS and padding are between texts and
have no characters there. Tokens are numbered as active entries number them: row * width + position behind what is not
counted in front of rows, a BOS and what is skipped.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..corpus.token_rows import counted_mask
from ..model.vocabulary import Vocabulary

BLOCK_TOKENS = 1 << 18  # whose text is in memory at a time


class TokenBytes:
    """The bytes of every token of a vocabulary, one behind the other."""

    def __init__(self, vocabulary: Vocabulary):
        special = vocabulary.special
        pieces = [b"" if id in special else vocabulary.bytes_of(id) for id in range(vocabulary.size)]
        self.vocabulary, self.special = vocabulary, sorted(special)
        self.lengths = np.array([len(piece) for piece in pieces], np.int64)  # [vocabulary]
        self.offsets = np.concatenate([[0], self.lengths.cumsum()])  # [vocabulary + 1]
        self.bytes = np.frombuffer(b"".join(pieces), np.uint8)
        # UTF-8 has no bytes from 0xFE on, but tokens may; spans.py marks matches with them, so others stand for them.
        self._matched = np.where(self.bytes < 0xFE, self.bytes, 0xC0).astype(np.uint8)

    @cached_property
    def labels(self) -> list[str]:
        """The text of every token by itself, empty of special ones. [vocabulary]"""
        data, offsets = self.bytes.tobytes(), self.offsets.tolist()
        pairs = zip(offsets, offsets[1:], strict=False)
        return [data[first:end].decode("utf-8", "backslashreplace") for first, end in pairs]

    @cached_property
    def ids_of(self) -> dict[str, list[int]]:
        """Text -> the tokens that are just that: one as a rule, more in some vocabularies."""
        ids: dict[str, list[int]] = {}
        for id, label in enumerate(self.labels):
            if label:
                ids.setdefault(label, []).append(id)
        return ids

    def of(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The bytes of these tokens and where each one's end. [n] -> [bytes] uint8, [n] int64"""
        # A model may have more outputs than its tokenizer has tokens: those have no text.
        known = np.where(ids < len(self.lengths), ids, 0)
        lengths = np.where(ids < len(self.lengths), self.lengths[known], 0)  # [n]
        ends = lengths.cumsum()
        # Byte b of the text, in a token that begins at byte s there, is b - s behind the token's first byte here.
        shifts = (self.offsets[known] - (ends - lengths)).astype(np.int32)
        index = np.repeat(shifts, lengths) + np.arange(ends[-1] if len(ends) else 0, dtype=np.int32)
        return self._matched[index], ends


@dataclass(frozen=True)
class RowText:
    """Some whole rows as text."""

    first: int  # number of the first token
    width: int  # tokens of a row
    first_position: int  # positions in front of the first of each row that counts: a BOS, and what is skipped
    ids: np.ndarray  # [n] of the tokens, row by row
    counted: np.ndarray  # [n] bool
    bytes: np.ndarray  # [bytes] uint8
    ends: np.ndarray  # [n] int64, behind each token's last byte
    text_starts: np.ndarray  # [texts] first token of each text, ascending; uncounted tokens lie behind the one before
    documents: np.ndarray | None = None  # [n] number of each token's document, -1 where unknown
    document_starts: np.ndarray | None = None  # [n] the token, numbered in all rows, at which its document begins
    kinds: np.ndarray | None = None  # [n] index of its kind, -1 where unknown

    def __len__(self):
        return len(self.ids)

    @cached_property
    def text_of(self) -> np.ndarray:
        """Which text each token is of. [n] int64"""
        begins = np.zeros(len(self), np.int64)
        begins[self.text_starts] = 1
        return begins.cumsum() - 1

    @cached_property
    def offsets(self) -> np.ndarray:
        """The byte at which each text begins, and the end of the last. [texts + 1] int64"""
        starts = np.concatenate([[0], self.ends])[self.text_starts]
        return np.concatenate([starts, [len(self.bytes)]])

    @property
    def has_characters(self) -> np.ndarray:
        """Not so special tokens, and ids that no token has. [n] bool"""
        return np.diff(self.ends, prepend=0) > 0

    def token_of(self, byte: np.ndarray) -> np.ndarray:
        """The token that a byte belongs to. [m] -> [m]"""
        # The first token that ends behind it; tokens without characters end with the one before them.
        return np.searchsorted(self.ends, byte, side="right")


def row_texts(rows: np.ndarray, first: int, tokens: TokenBytes, documents=None) -> Iterator[RowText]:
    """The text of rows [n, length] of token ids, block by block; `first` positions of each, a BOS and what is skipped,
    are left out.

    `documents`: says of places, row * length + position, which document and kind each is of (a DocumentTable); without
    it documents begin behind special tokens, and what kind they are of is not known.
    """
    at_once = max(1, BLOCK_TOKENS // rows.shape[1])
    for start in range(0, len(rows), at_once):
        yield _row_text(np.asarray(rows[start : start + at_once, first:]), start, first, tokens, documents)


def _row_text(rows: np.ndarray, start: int, first: int, tokens: TokenBytes, documents) -> RowText:
    width = rows.shape[1]
    ids = rows.ravel()
    counted = counted_mask(ids, tokens.special)
    text, ends = tokens.of(ids)
    begins = np.zeros(len(ids), bool)
    begins[::width] = True  # with each row
    begins[1:] |= counted[1:] & ~counted[:-1]  # behind special tokens
    of_documents = {}
    if documents is not None:
        number = np.arange(start * width, start * width + len(ids))
        # A token's place has also what stands in front of its own row and of all before it.
        own = documents.documents_of(number + first * (number // width + 1))
        places = np.where(own < 0, 0, documents.entries["start"][np.maximum(own, 0)].astype(np.int64))
        # A place counts what stands in front of rows, a token's number does not; a document that begins there begins
        # with the row's first token.
        row, position = np.divmod(places, width + first)
        of_documents = {"documents": own, "document_starts": row * width + np.maximum(position - first, 0)}
        of_documents["kinds"] = documents.kinds_of(number + first * (number // width + 1))
        begins[1:] |= own[1:] != own[:-1]
    return RowText(start * width, width, first, ids, counted, text, ends, np.flatnonzero(begins), **of_documents)
