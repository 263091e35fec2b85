"""Which bytes does a token stand for? Told by the tokenizer's decoder, once, and never by the token's letters."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from tokenizers import AddedToken, Tokenizer

BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")  # a byte of a character that the vocabulary lacks
JOINED = (".", "?", "!", ",", "n't", "'m", "'s", "'ve", "'re")  # what WordPiece's clean-up takes the space from


@lru_cache(maxsize=1)
def byte_of_symbol() -> dict[str, int]:
    """The byte-level alphabet of GPT-2: printable bytes stand for themselves, the rest for U+0100 onwards."""
    # Latin-1 without its control characters, the two spaces (32, 160) and the soft hyphen (173).
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    # The space is the 33rd of the hidden: U+0120, the "Ġ" in front of most words of a vocabulary.
    return {chr(byte): byte for byte in shown} | {chr(256 + n): byte for n, byte in enumerate(hidden)}


@dataclass(frozen=True)
class Spelling:
    """How a tokenizer spells text in its tokens."""

    byte_level: bool = False  # each letter is a byte (GPT-2, Llama 3, Qwen)
    byte_fallback: bool = False  # <0xE2> is a byte (Llama 2, Gemma)
    replaced: tuple[Callable[[str], str], ...] = field(default=())  # word marks of SentencePiece to spaces
    continued_by: str = ""  # "##" of WordPiece: what stands in front of what continues a word
    ended_by: str = ""  # "</w>": what stands behind what ends one
    spaced: bool = False  # words are joined by spaces
    cleaned: bool = False  # but for punctuation

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> "Spelling":
        steps, cuts = _steps(tokenizer.decoder), _steps(tokenizer.pre_tokenizer)
        fallback = bool(getattr(tokenizer.model, "byte_fallback", False)) or _has(steps, "ByteFallback")
        if _has(steps, "ByteLevel") or (not steps and _has(cuts, "ByteLevel")):
            return cls(byte_level=True)
        if not steps:
            return cls._without_decoder(tokenizer.model, [*_steps(tokenizer.normalizer), *cuts], fallback)
        # WordPiece names what stands in front of what continues a word, BPEDecoder what stands behind what ends one.
        wordpiece = next((step for step in steps if step["type"] == "WordPiece"), {})
        suffix = next((step["suffix"] for step in steps if step["type"] == "BPEDecoder"), "")
        return cls(
            byte_fallback=fallback,
            replaced=tuple(filter(None, map(_replacement, steps))),
            continued_by=wordpiece.get("prefix", ""),
            ended_by=suffix,
            spaced=bool(wordpiece),
            cleaned=wordpiece.get("cleanup", False),
        )

    @classmethod
    def _without_decoder(cls, model, steps: list[dict], fallback: bool) -> "Spelling":
        """What the way in says: its word marks are taken back, and words without marks stand apart."""
        marks = tuple(filter(None, map(_mark_back, steps)))
        prefix, suffix = (
            getattr(model, name, None) or "" for name in ("continuing_subword_prefix", "end_of_word_suffix")
        )
        return cls(False, fallback, marks, prefix, suffix, spaced=not marks and not suffix and _splits_words(steps))

    def bytes_of(self, token: str) -> bytes:
        """Of a token of the vocabulary itself."""
        if self.byte_level:
            symbols = byte_of_symbol()
            return bytes(map(symbols.get, token)) if all(letter in symbols for letter in token) else _utf8(token)
        if self.byte_fallback and (byte := BYTE.fullmatch(token)):
            return bytes([int(byte[1], 16)])
        if self.continued_by and token.startswith(self.continued_by):
            return _utf8(token[len(self.continued_by) :])
        if self.ended_by:
            ends = token.endswith(self.ended_by)
            return _utf8(token.removesuffix(self.ended_by) + " " * ends)
        apart = self.spaced and not (self.cleaned and token in JOINED)
        return _utf8(" " * apart + self._marks_taken_back(token))

    def bytes_of_added(self, token: AddedToken) -> bytes:
        """Of an added one, which is cut out of a text before that is spelled as symbols, and so is text itself. Unless
        it was normalised as the text around it: then it has its word marks."""
        # A tokenizer cuts added tokens out of the text as it is, unless they ask to be normalised first.
        as_text = token.special or not token.normalized or self.byte_level
        return _utf8(token.content if as_text else self._marks_taken_back(token.content))

    def _marks_taken_back(self, text: str) -> str:
        for replace in self.replaced:
            text = replace(text)
        return text


def _steps(part) -> list[dict]:
    """The steps of a decoder, normalizer or pre-tokenizer, one after another, as tokenizer.json has them."""
    return [] if part is None else list(_flat(json.loads(part.__getstate__())))


def _flat(part: dict) -> Iterator[dict]:
    if part["type"] != "Sequence":
        yield part
    inner = next((part[name] for name in ("decoders", "normalizers", "pretokenizers") if name in part), ())
    for step in inner:
        yield from _flat(step)


def _has(steps: list[dict], kind: str) -> bool:
    return any(step["type"] == kind for step in steps)


def _replacement(step: dict) -> Callable[[str], str] | None:
    """What a decoder's step makes of a token's text, where it replaces something in it."""
    if step["type"] == "Metaspace":
        return lambda text: text.replace(step["replacement"], " ")
    if step["type"] != "Replace":
        return None
    if "String" in step["pattern"]:
        return lambda text: text.replace(step["pattern"]["String"], step["content"])
    try:
        found = re.compile(step["pattern"]["Regex"])
    except re.error:  # the library has another engine of regular expressions
        return None
    return lambda text: found.sub(lambda match: step["content"], text)


def _mark_back(step: dict) -> Callable[[str], str] | None:
    """The space again, where a step on the way in makes a mark of it."""
    if step["type"] == "Metaspace":
        return lambda text: text.replace(step["replacement"], " ")
    makes_mark = step["type"] == "Replace" and step["pattern"].get("String") == " " and step["content"]
    return (lambda text: text.replace(step["content"], " ")) if makes_mark else None


def _splits_words(steps: list[dict]) -> bool:
    return any(step["type"] in ("Whitespace", "WhitespaceSplit", "BertPreTokenizer") for step in steps)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
