"""Where in a row is the text, and of which kind is it? One rule for JSON, tables and columns."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .errors import CorpusError
from .notes import Notes

USUAL = "text"
CHATS = ("messages", "conversations", "conversation")  # rows of a chat: [{"role": ..., "content": ...}, ...]
LONE = re.compile("[\ud800-\udfff]")
ROLES = {"human": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant"}  # of the form "from", "value"


@dataclass(frozen=True)
class TextField:
    """What is asked of each row."""

    name: str = ""  # of the text; empty: "text"
    kind: str = ""  # the field that says a document's kind; empty: none
    chat: Callable[[list[dict]], str] | None = None  # a chat as one text; None where the tokenizer has no template

    def of(self, row, where: str, file: Path, notes: Notes, seen: bool = True) -> tuple[str, str | None] | None:
        """(text, kind) of a row; None where it has none, which is noted. `seen`: whether rows before it had the field.

        Raises CorpusError with `where` ("a.jsonl, line 3") where the row is of another form.
        """
        if isinstance(row, str) and not self.name:
            return self._whole(row, None, file, notes)
        if row is None:
            return notes.add("null", file)
        if not isinstance(row, dict):
            raise CorpusError(f"{where} is {_kind_of(row)}. A row is a text, or an object with a field of text.")
        name = self.name or self._usual(row)
        try:
            value = at_path(row, name)
        except KeyError:
            if seen:
                return notes.add("missing", file)
            raise CorpusError(_no_such_field(where, name, row)) from None
        return self.from_value(value, name, where, file, notes, self.kind_in(row, where))

    def from_value(self, value, name: str, where: str, file: Path, notes: Notes, kind: str | None = None):
        """The same of the value of the field."""
        if value is None:
            return notes.add("null", file)
        if isinstance(value, bytes):
            try:
                value = value.decode("utf-8")
            except UnicodeDecodeError as error:
                raise CorpusError(f'{where}: the bytes of "{name}" are no UTF-8 (byte {error.start:,}).') from error
        if isinstance(value, list) and value and all(isinstance(turn, dict) for turn in value):
            value = self._chat(value, where)
            notes.chats += 1
            notes.say(f"{file} has chats in {name}, written in the form of the tokenizer's chat template.")
        if not isinstance(value, str):
            raise CorpusError(
                f'{where}: "{name}" is {_kind_of(value)}, and text is needed. Another field: --field NAME.'
            )
        return self._whole(value, kind, file, notes)

    def kind_in(self, row: dict, where: str) -> str | None:
        """A document's kind as its row says it; None where no field is named."""
        if not self.kind:
            return None
        try:
            value = at_path(row, self.kind)
        except KeyError:
            value = None
        if isinstance(value, list | dict):
            raise CorpusError(f'{where}: "{self.kind}" is {_kind_of(value)}; a kind is a short text or number.')
        return "none" if value is None else str(value)

    def _usual(self, row: dict) -> str:
        """The field that is taken where none is named: "text", or the messages of a row that has nothing else."""
        only = next(iter(row)) if len(row) == 1 else ""
        return only if only in CHATS else USUAL

    def _chat(self, turns: list[dict], where: str) -> str:
        if self.chat is None:
            raise CorpusError(
                f"{where} is a chat, and the model's tokenizer has no chat template. Add chat_template to its "
                "tokenizer_config.json, or give texts."
            )
        # The form of ShareGPT: {"from": "human", "value": ...}.
        turns = [{"role": t["from"], "content": t["value"]} if "from" in t and "value" in t else t for t in turns]
        turns = [t | {"role": ROLES.get(t.get("role"), t.get("role"))} for t in turns]
        if missing := [name for t in turns for name in ("role", "content") if t.get(name) is None]:
            raise CorpusError(f'{where}: a message has no "{missing[0]}"; each needs role and content.')
        try:
            return self.chat(turns)
        except ValueError as error:
            raise CorpusError(f"{where}: {error}") from error

    def _whole(self, text: str, kind: str | None, file: Path, notes: Notes) -> tuple[str, str | None]:
        if not text.isascii() and LONE.search(text):
            notes.add("surrogate", file)
            text = LONE.sub("\ufffd", text)
        return text, kind


def at_path(row, name: str):
    """The value of a field, also of one inside another: meta.source. Raises KeyError."""
    if isinstance(row, dict) and name in row:
        return row[name]
    first, dot, rest = name.partition(".")
    if not dot or not isinstance(row, dict):
        raise KeyError(name)
    return at_path(row[first], rest)


def _no_such_field(where: str, name: str, row: dict) -> str:
    texts = [field for field, value in row.items() if isinstance(value, str)]
    chats = [field for field in CHATS if isinstance(row.get(field), list)]
    way = f"Name the field of the text: --field {(texts + chats)[0]}" if texts + chats else "None of them is text."
    return f'{where}, has no "{name}" (it has: {", ".join(map(str, row))[:300]}). {way}'


def _kind_of(value) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), f"a {type(value).__name__}")
