"""Which documents are in a file of plain text, JSON lines, JSON, or a table of commas or tabs?"""

import csv
import json
import shlex
from collections.abc import Iterator
from pathlib import Path

from .errors import CorpusError
from .notes import Notes
from .text_field import USUAL, TextField
from .unpacking import MAX_BYTES, lines_of, pieces_of, text_of, whole_text

SEPARATOR = "<|endoftext|>"  # between the documents of a .txt file
ESCAPED = 2  # characters held of JSON, for each of the text that may be in it: escapes and other fields
Found = Iterator[tuple[str, str | None]]  # text and kind of each document


def read_txt(file: Path, field: TextField, notes: Notes, max_bytes: int = MAX_BYTES) -> Found:
    """Plain text, cut at SEPARATOR."""
    for text in pieces_of(text_of(file, notes, max_bytes), SEPARATOR, file, max_bytes):
        # What is blank between two separators is no document, and nothing was lost.
        if text.strip() and (found := TextField(chat=field.chat).of(text, str(file), file, notes)):
            yield found


def read_jsonl(file: Path, field: TextField, notes: Notes, max_bytes: int = MAX_BYTES) -> Found:
    """A JSON text or object in each line."""
    lines = lines_of(text_of(file, notes, max_bytes), file, ESCAPED * max_bytes)
    yield from _rows(_parsed(file, lines), "line", file, field, notes)


def _parsed(file: Path, lines) -> Iterator[tuple[int, object]]:
    for number, line in lines:
        try:
            yield number, json.loads(line.removeprefix("\ufeff"))  # files joined with their marks
        except (ValueError, RecursionError) as error:
            raise CorpusError(f"{file}, line {number:,}, is no JSON: {error}. Half written? Copy it again.") from error


def read_json(file: Path, field: TextField, notes: Notes, max_bytes: int = MAX_BYTES) -> Found:
    """An array of rows, or an object with one; or lines of JSON, as many files of this ending are."""
    text = whole_text(text_of(file, notes, max_bytes), file, ESCAPED * max_bytes)
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise CorpusError(f"{file} has brackets inside brackets without end, which no text has.") from error
    except ValueError as error:
        if "\n" not in text.strip():
            raise CorpusError(f"{file} is no JSON: {error}. Half written? Copy it again.") from error
        notes.say(f"{file} is read as lines of JSON.")
        yield from _rows(_parsed(file, lines_of(iter([text]), file)), "line", file, field, notes)
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
    lines = (line + "\n" for line in _lines(file, notes, max_bytes))
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


def _lines(file: Path, notes: Notes, max_bytes: int) -> Iterator[str]:
    """All lines, blank ones inside a quoted cell too; nothing behind the last end of a line is none."""
    last = None
    for line in pieces_of(text_of(file, notes, max_bytes), "\n", file, max_bytes):
        if last is not None:
            yield last
        last = line
    if last:
        yield last


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
