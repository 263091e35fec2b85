"""What a token looks like to a reader: ids to text and back, without loading a model.

BPE tokens are pieces of UTF-8, so one token may hold half a character. Bytes are what is exact; `pieces`
turns a run of them into text that never shows half of anything.
"""

import json
from functools import cached_property, lru_cache
from pathlib import Path

from tokenizers import Tokenizer

CONTINUED = "‥"  # stands for a token whose character was shown on an earlier token


class TokenizerMissing(ValueError):
    """The model folder holds no usable tokenizer."""


@lru_cache(maxsize=1)
def _byte_of_symbol() -> dict[str, int]:
    """The byte-level alphabet of GPT-2: printable bytes stand for themselves, the rest for U+0100 onwards."""
    # Latin-1 without its control characters, the two spaces (32, 160) and the soft hyphen (173).
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    # The space is the 33rd of the hidden: U+0120, the "Ġ" in front of most words of a vocabulary.
    return {chr(byte): byte for byte in shown} | {chr(256 + n): byte for n, byte in enumerate(hidden)}


def visible(text: str) -> str:
    """Whitespace that a page would swallow, made visible."""
    return text.replace("\r", "␍").replace("\n", "⏎").replace("\t", "⇥")


class Vocabulary:
    """The tokens of one model: their ids, bytes and texts."""

    def __init__(self, tokenizer: Tokenizer, bos: str | None = None):
        self.tokenizer = tokenizer
        self.size = tokenizer.get_vocab_size(with_added_tokens=True)
        added = tokenizer.get_added_tokens_decoder()
        self.special = {id for id, token in added.items() if token.special}
        self._added = {id: token.content for id, token in added.items()}
        self.bos_id = tokenizer.token_to_id(bos) if bos else None

    @classmethod
    def load(cls, folder) -> "Vocabulary":
        """Read `tokenizer.json` (and the BOS named in `tokenizer_config.json`) of a model folder.

        Raises TokenizerMissing when the folder has none or it does not parse.
        """
        folder = Path(folder)
        try:
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # the library raises bare Exception for every cause
            raise TokenizerMissing(f"No usable tokenizer.json in {folder}: {error}") from error
        # Padding and truncation of the file serve training; here every text is tokenised as it is.
        tokenizer.no_padding()
        tokenizer.no_truncation()
        tokenizer.encode_special_tokens = True  # "<|BOS|>" in a text is text
        return cls(tokenizer, bos=_bos_named_in(folder))

    def ids(self, text: str, bos: bool = True) -> list[int]:
        """Token ids of `text`, with BOS in front if asked for and the model has one.

        Text that spells a special token is read as text, as the rest of the prompt.
        """
        # Many tokenizers add a BOS or EOS of their own here: switched off, so that BOS comes once or not at all.
        ids = self.tokenizer.encode(text, add_special_tokens=False).ids
        return [self.bos_id, *ids] if bos and self.bos_id is not None else ids

    def many_ids(self, texts: list[str]) -> list[list[int]]:
        """Token ids of each text, without BOS; all cores are used."""
        return [encoding.ids for encoding in self.tokenizer.encode_batch(texts, add_special_tokens=False)]

    @cached_property
    def _bytes(self) -> list[bytes]:
        """Bytes of every id."""
        byte_of, pieces = _byte_of_symbol(), [b""] * self.size
        for token, id in self.tokenizer.get_vocab(with_added_tokens=True).items():
            # Added tokens are cut out of a text before its bytes are spelled as symbols: they are text themselves.
            if id in self._added:
                pieces[id] = token.encode()
            elif all(symbol in byte_of for symbol in token):
                pieces[id] = bytes(byte_of[symbol] for symbol in token)
            else:
                # A tokenizer that is not byte-level: the word mark of SentencePiece is a space.
                pieces[id] = token.replace("▁", " ").encode()
        return pieces

    @cached_property
    def _texts(self) -> list[str | None]:
        """Text of every id that is whole by itself; None for pieces of characters."""
        return [_text_or_none(piece) for piece in self._bytes]

    @cached_property
    def labels(self) -> list[str]:
        """One token alone, as lists of tokens show it, for every id: bytes that are no text as \\x.."""
        return [piece.decode("utf-8", "backslashreplace") for piece in self._bytes]

    def bytes_of(self, id: int) -> bytes:
        return self._bytes[id]

    def label(self, id: int) -> str:
        return self.labels[id]

    def pieces(self, ids) -> list[str]:
        """Texts of a run of tokens, one each. A character spread over several tokens stands on the first of
        them; the others read as `CONTINUED`. Bytes that form no character, as at the cut end of a run, are
        spelled as \\x..
        """
        texts = self._texts
        pieces = [texts[id] for id in ids]
        for start in [index for index, text in enumerate(pieces) if text is None]:
            # One that was joined to the tokens before it is filled by now.
            if pieces[start] is None:
                self._join(ids, pieces, start)
        return pieces

    def _join(self, ids, pieces: list, start: int) -> None:
        """Fill the broken pieces from `start` on: the shortest run that is whole, else one token spelled out."""
        joined = b""
        # A character has 4 bytes at most, but tokens may end one and begin the next; no run is longer than 8 tokens.
        for stop in range(start, min(start + 8, len(ids))):
            joined += self._bytes[ids[stop]]
            text = _text_or_none(joined)
            if text is not None:
                pieces[start : stop + 1] = [text] + [CONTINUED] * (stop - start)
                return
        pieces[start] = self.labels[ids[start]]


def _text_or_none(piece: bytes) -> str | None:
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return None


def _bos_named_in(folder: Path) -> str | None:
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        try:
            bos = json.loads((folder / name).read_text()).get("bos_token")
        except (OSError, ValueError):
            continue
        if bos:
            # Either the text of the token, or the token with its settings (transformers' AddedToken).
            return bos["content"] if isinstance(bos, dict) else bos
    return None
