"""Which documents are in a file of plain text, JSON lines, JSON, or a table of commas or tabs?"""

import csv
import json
import shlex
from collections.abc import Iterator
from pathlib import Path

from .errors import CorpusError
from .notes import Notes
from .text_field import USUAL, TextField
from .unpacking import MAX_BYTES, lines_of, text_of

SEPARATOR = "<|endoftext|>"  # between the documents of a .txt file
Found = Iterator[tuple[str, str | None]]  # text and kind of each document


def read_txt(file: Path, field: TextField, notes: Notes, max_bytes: int = MAX_BYTES) -> Found:
    """Plain text, cut at SEPARATOR."""
    rest = ""
    for chunk in text_of(file, notes, max_bytes):
        # A separator may lie across two chunks: what is behind the last whole one waits for the next chunk.
        *documents, rest = (rest + chunk).split(SEPARATOR)
        yield from _plain(documents, field, file, notes)
    yield from _plain([rest], field, file, notes)


def _plain(documents: list[str], field: TextField, file: Path, notes: Notes) -> Found:
    for text in documents:
        # What is blank between two separators is no document, and nothing was lost.
        if text.strip() and (found := TextField(chat=field.chat).of(text, str(file), file, notes)):
            yield found


def read_jsonl(file: Path, field: TextField, notes: Notes, max_bytes: int = MAX_BYTES) -> Found:
    """A JSON text or object in each line."""
    yield from _rows(_parsed(file, lines_of(text_of(file, notes, max_bytes))), "line", file, field, notes)


def _parsed(file: Path, lines) -> Iterator[tuple[int, object]]:
    for number, line in lines:
        try:
            yield number, json.loads(line.removeprefix("\ufeff"))  # files joined with their marks
        except (ValueError, RecursionError) as error:
            raise CorpusError(f"{file}, line {number:,}, is no JSON: {error}. Half written? Copy it again.") from error


def read_json(file: Path, field: TextField, notes: Notes, max_bytes: int = MAX_BYTES) -> Found:
    """An array of rows, or an object with one; or lines of JSON, as many files of this ending are."""
    text = "".join(text_of(file, notes, max_bytes))
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise CorpusError(f"{file} has brackets inside brackets without end, which no text has.") from error
    except ValueError as error:
        if "\n" not in text.strip():
            raise CorpusError(f"{file} is no JSON: {error}. Half written? Copy it again.") from error
        notes.say(f"{file} is read as lines of JSON.")
        yield from _rows(_parsed(file, lines_of(iter([text]))), "line", file, field, notes)
        return
    if isinstance(value, dict) and USUAL not in value and field.name not in value:
        lists = [name for name, rows in value.items() if isinstance(rows, list)]
        if len(lists) != 1:
            raise CorpusError(
                f"{file} is an object with {', '.join(map(str, value))[:300]}; an array of rows is needed. Make one: "
                f"jq -c '.NAME[]' {shlex.quote(str(file))} > {shlex.quote(str(file.with_suffix('.jsonl')))}"
            )
        notes.say(f"{file}: its rows are those of {lists[0]}.")
        value = value[lists[0]]
    rows = value if isinstance(value, list) else [value]
    yield from _rows(enumerate(rows, 1), "row", file, field, notes)


def _rows(rows, called: str, file: Path, field: TextField, notes: Notes) -> Found:
    seen = False
    for number, row in rows:
        found = field.of(row, f"{file}, {called} {number:,}", file, notes, seen)
        seen = seen or isinstance(row, dict)
        if found:
            yield found


def read_csv(file: Path, field: TextField, notes: Notes, max_bytes: int = MAX_BYTES) -> Found:
    """A table whose first line names its columns; cells with commas, tabs or semicolons between them."""
    csv.field_size_limit(min(max_bytes, 2**31 - 1))
    lines = (line + "\n" for chunk in [text_of(file, notes, max_bytes)] for line in _lines(chunk))
    first = next(lines, "")
    # The one that stands most often in the head; of equal ones the comma.
    delimiter = max(",\t;", key=first.count) if first else ","
    names = next(csv.reader([first], delimiter=delimiter), [])
    name = field.name or _column(file, names, notes)
    field = TextField(name, field.kind, field.chat)
    try:
        for cells in (reader := csv.reader(lines, delimiter=delimiter, strict=True)):
            where = f"{file}, line {reader.line_num + 1:,}"
            if len(cells) > len(names):
                raise CorpusError(f"{where}, has {len(cells)} cells, its head names {len(names)}. Is a quote missing?")
            if cells and (found := field.of(dict(zip(names, cells, strict=False)), where, file, notes, name in names)):
                yield found
    except csv.Error as error:
        raise CorpusError(f"{file}, line {reader.line_num + 1:,}: {error}. Is a quote missing?") from error


def _lines(chunks: Iterator[str]) -> Iterator[str]:
    rest = ""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split("\n")
        yield from lines
    if rest:
        yield rest


def _column(file: Path, names: list[str], notes: Notes) -> str:
    if USUAL in names:
        return USUAL
    if len(names) != 1:
        raise CorpusError(
            f'{file} has {len(names)} columns and none called "text" (it has: {", ".join(names)[:300]}). '
            f"Name the column of the text: --field NAME"
        )
    notes.say(f'The text of {file} is its only column, "{names[0]}".')
    return names[0]
