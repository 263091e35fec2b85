"""What a token looks like to a reader: ids to text and back, without loading a model.

Tokens are pieces of UTF-8, so one token may hold half a character. Bytes are what is exact; `pieces` turns a run of
them into text that never shows half of anything.
"""

from functools import cached_property
from pathlib import Path

from tokenizers import Tokenizer

from ..foreign_files import panics_as
from ..text.special_tokens import SpecialToken, special_token
from ..text.spelling import Spelling
from ..text.tokenizer_file import TokenizerMissing, read_tokenizer  # noqa: F401  (what `load` raises)

BROKE = (
    "The model's tokenizer broke on this text: its tokenizer.json is damaged, or the tokenizers library has a fault."
)
MOST_IDS = 1 << 21  # of one tokenizer: a table of all of them is kept, and the largest known have some 300,000
CONTINUED = "‥"  # stands for a token whose character was shown on an earlier token


class Vocabulary:
    """The tokens of one model: their ids, bytes and texts."""

    def __init__(self, tokenizer: Tokenizer, bos: SpecialToken | None = None, eos: SpecialToken | None = None):
        tokenizer.encode_special_tokens = True  # "<|BOS|>" in a text is text
        self.tokenizer = tokenizer
        self._ids = tokenizer.get_vocab(with_added_tokens=True)
        self.size = max(self._ids.values(), default=-1) + 1  # ids are below it; some may stand for no token
        if self.size > MOST_IDS:
            raise TokenizerMissing(f"The tokenizer has ids up to {self.size - 1:,}; up to {MOST_IDS - 1:,} are read.")
        self._added = tokenizer.get_added_tokens_decoder()
        self.bos, self.eos = bos or SpecialToken(), eos or SpecialToken()
        self.special = {id for id, token in self._added.items() if token.special}
        # Named as that, they are never text, whatever tokenizer.json says of them.
        self.special |= {id for id in (self.bos_id, self.eos_id) if id is not None}

    @classmethod
    def load(cls, folder) -> "Vocabulary":
        """Read `tokenizer.json` of a model folder, and the BOS and EOS that the files beside it name.

        Raises TokenizerMissing when there is none, or one of the files does not parse.
        """
        folder = Path(folder)
        tokenizer = read_tokenizer(folder)
        return cls(tokenizer, *(special_token(folder, tokenizer, role) for role in ("bos", "eos")))

    @property
    def bos_id(self) -> int | None:
        return self.bos.id

    @property
    def eos_id(self) -> int | None:
        return self.eos.id

    @cached_property
    def ordinary_size(self) -> int:
        """Above every id that a text can come to: special tokens that nothing names may lie beyond."""
        silent = self.special - {self.bos_id, self.eos_id}
        return max((id for id in self._ids.values() if id not in silent), default=-1) + 1

    def ids(self, text: str, bos: bool = True, special: bool = False) -> list[int]:
        """Token ids of `text`, with BOS in front if asked for and the model has one.

        Text that spells a special token is read as text, as the rest of the prompt; as that token where `special`.
        """
        ids = self._encoded(text, special)
        return self.with_bos(ids) if bos else ids

    def with_bos(self, ids: list[int]) -> list[int]:
        """With BOS in front, if the model has one and it is not there already."""
        return [self.bos_id, *ids] if self.bos_id is not None and ids[:1] != [self.bos_id] else ids

    def _encoded(self, text: str, special: bool) -> list[int]:
        # Many tokenizers add a BOS or EOS of their own here: switched off, so that BOS comes once or not at all.
        with panics_as(TokenizerMissing, BROKE):
            return (self._reading_special if special else self.tokenizer).encode(text, add_special_tokens=False).ids

    def many_ids(self, texts: list[str], special: bool = False) -> list[list[int]]:
        """Token ids of each text, without BOS; all cores are used."""
        tokenizer = self._reading_special if special else self.tokenizer
        with panics_as(TokenizerMissing, BROKE):
            return [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]

    def index_of_token_at(self, text: str, character: int) -> int:
        """The first of the text's tokens, without BOS, that holds a character of it."""
        ends = (end for _, end in self.tokenizer.encode(text, add_special_tokens=False).offsets)
        return next(index for index, end in enumerate(ends) if end > character)

    def prepare(self) -> None:
        """Make what texts would have to wait for."""
        _ = self._reading_special

    @cached_property
    def _reading_special(self) -> Tokenizer:
        """A second tokenizer: the switch belongs to all threads that share one."""
        tokenizer = Tokenizer.from_str(self.tokenizer.to_str())
        tokenizer.encode_special_tokens = False
        return tokenizer

    @cached_property
    def _bytes(self) -> list[bytes | None]:
        """Bytes of every id; None where no token has it."""
        spelling, pieces = Spelling.of(self.tokenizer), [None] * self.size
        for token, id in self._ids.items():
            pieces[id] = spelling.bytes_of(token)
        for id, token in self._added.items():
            pieces[id] = spelling.bytes_of_added(token)
        for token in (self.bos, self.eos):
            if token.id is not None:
                pieces[token.id] = token.text.encode()
        return pieces

    @cached_property
    def _texts(self) -> list[str | None]:
        """Text of every id that is whole by itself; None for pieces of characters."""
        return [f"[{id}]" if piece is None else _text_or_none(piece) for id, piece in enumerate(self._bytes)]

    def all_bytes(self) -> list[bytes | None]:
        """Of every id in order; None where no token has it."""
        return list(self._bytes)

    def bytes_of(self, id: int) -> bytes:
        """Empty where no token has this id."""
        return (self._bytes[id] if id < self.size else None) or b""

    def label(self, id: int) -> str:
        """One token alone, as lists of tokens show it: bytes that are no text as \\x.., an id without a token
        as its number, [291]: a model may have more outputs than its tokenizer has tokens."""
        piece = self._bytes[id] if id < self.size else None
        return f"[{id}]" if piece is None else piece.decode("utf-8", "backslashreplace")

    def pieces(self, ids) -> list[str]:
        """Texts of a run of tokens, one each. A character spread over several tokens stands on the first of
        them; the others read as `CONTINUED`. Bytes that form no character, as at the cut end of a run, are
        spelled as \\x..
        """
        texts = self._texts
        pieces = [texts[id] if id < self.size else self.label(id) for id in ids]
        for start in [index for index, text in enumerate(pieces) if text is None]:
            # One that was joined to the tokens before it is filled by now.
            if pieces[start] is None:
                self._join(ids, pieces, start)
        return pieces

    def pieces_within(self, ids, start: int, stop: int) -> list[str]:
        """The same as pieces(ids)[start:stop], without reading all of a long run."""
        begin = start
        while begin > 0 and not self._stands_alone(ids[begin]):
            begin -= 1  # it may be joined to what stands before it
        return self.pieces(ids[begin : stop + 8])[start - begin : stop - begin]  # no run is longer than 8 tokens

    def _stands_alone(self, id: int) -> bool:
        """Whether it is whole characters: they begin as no character goes on, so no run joins over them."""
        return bool(self.bytes_of(id)) and self._texts[id] is not None

    def _join(self, ids, pieces: list, start: int) -> None:
        """Fill the broken pieces from `start` on: the shortest run that is whole, else one token spelled out."""
        joined = b""
        # A character has 4 bytes at most, but tokens may end one and begin the next; no run is longer than 8 tokens.
        for stop in range(start, min(start + 8, len(ids))):
            joined += self.bytes_of(ids[stop])
            text = _text_or_none(joined)
            if text is not None:
                pieces[start : stop + 1] = [text] + [CONTINUED] * (stop - start)
                return
        pieces[start] = self.label(ids[start])


def _text_or_none(piece: bytes) -> str | None:
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return None
