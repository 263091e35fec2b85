"""Which documents are in a parquet file, or in one that `datasets` has saved (Arrow)?"""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as arrow
import pyarrow.parquet as parquet

from .errors import CorpusError
from .notes import Notes
from .text_field import CHATS, USUAL, TextField
from .unpacking import MAX_BYTES

ROWS = 1024  # read at a time

DAMAGED = (arrow.ArrowException, OSError, UnicodeDecodeError)  # what a file that is not whole leads to

is_type = arrow.types


def read_parquet(file: Path, field: TextField, notes: Notes, max_bytes: int = MAX_BYTES) -> Iterator:
    """(text, kind) of each row. Raises CorpusError."""
    try:
        with parquet.ParquetFile(file) as opened:
            yield from _read(file, opened.schema_arrow, opened, field, notes, max_bytes)
    except DAMAGED as error:
        raise CorpusError(f"{file} is no whole parquet file: {error}. Copy it again.") from error


def read_arrow(file: Path, field: TextField, notes: Notes, max_bytes: int = MAX_BYTES) -> Iterator:
    """The same of a file of record batches, as a stream or with an index. `max_bytes` is there as all readers have it,
    and not looked at: a batch is unpacked at a time, the file as a whole never."""
    try:
        with arrow.memory_map(str(file)) as opened:
            yield from _documents(file, _batches(opened), field, notes)
    except DAMAGED as error:
        raise CorpusError(f"{file} is no whole Arrow file: {error}. Copy it again.") from error


def _read(file: Path, schema, opened, field: TextField, notes: Notes, max_bytes: int) -> Iterator:
    column = _column(file, schema, field, notes)
    wanted = [column, *([field.kind.split(".")[0]] if field.kind else [])]
    _refuse_too_large(file, opened.metadata, wanted, max_bytes)
    # Parquet lies column by column: only these are read from the disk.
    batches = opened.iter_batches(ROWS, columns=[name for name in dict.fromkeys(wanted) if name in schema.names])
    yield from _texts(file, batches, column, field, notes)


def _batches(opened) -> Iterator:
    try:
        # A file with an index begins with other bytes, and Arrow refuses to read it as a stream.
        yield from arrow.ipc.open_stream(opened)
    except arrow.ArrowInvalid:
        indexed = arrow.ipc.open_file(opened)
        yield from (indexed.get_batch(number) for number in range(indexed.num_record_batches))


def _documents(file: Path, batches: Iterator, field: TextField, notes: Notes) -> Iterator:
    column = None
    for batch in batches:
        column = column or _column(file, batch.schema, field, notes)
        yield from _texts(file, [batch], column, field, notes)


def _texts(file: Path, batches, column: str, field: TextField, notes: Notes) -> Iterator:
    number, name = 0, field.name or column
    for batch in batches:
        batch.validate(full=True)  # Arrow reads wherever a damaged file's offsets point
        values = _values(batch.column(column))
        kinds = field.kind.split(".")[0]
        others = _values(batch.column(kinds)) if kinds in batch.schema.names else None
        for value in values:
            number += 1
            where = f"{file}, row {number:,}"
            kind = field.kind_in({kinds: next(others)} if others else {}, where)
            if name != column:  # a field inside a column: meta.text
                found = field.of({column: value}, where, file, notes)
            else:
                found = field.from_value(value, name, where, file, notes, kind)
            if found:
                yield found[0], kind


def _values(array) -> Iterator:
    """As Python has them. A category is one object, however many rows it has: memory stays that of the file."""
    if is_type.is_dictionary(array.type):
        texts = array.dictionary.to_pylist()
        return (None if index is None else texts[index] for index in array.indices.to_pylist())
    return iter(array.to_pylist())


def _column(file: Path, schema, field: TextField, notes: Notes) -> str:
    """The column of the text. Raises CorpusError where nobody can tell, or it holds something else."""
    names = schema.names
    if not field.name and USUAL not in names:
        if len(names) == 1 and (_is_text(schema.types[0]) or names[0] in CHATS):
            what = "chats" if names[0] in CHATS else "text"
            notes.say(f'The {what} of {file} is its only column, "{names[0]}".')
            return names[0]
        raise CorpusError(_none(file, schema))
    column = field.name or USUAL
    if column not in names:
        column = column.split(".")[0]
    if column not in names:
        raise CorpusError(f"{file} has no column {field.name!r} (it has: {_listed(schema)}). Name another: --field")
    kind = schema.field(column).type
    if not (_is_text(kind) or _is_chat(kind) or (column != field.name and is_type.is_struct(kind))):
        raise CorpusError(f'{file}: the column "{column}" is {kind}, and text is needed. {_way_out(kind)}')
    return column


def _none(file: Path, schema) -> str:
    texts = [field.name for field in schema if _is_text(field.type)]
    if not texts:
        return f"{file} has no column of text (it has: {_listed(schema)}). {_way_out(schema.types[0])}"
    return (
        f'{file} has {len(texts)} columns of text and none called "text" (it has: {_listed(schema)}). '
        f"Name the column of the text: --field {texts[0]}"
    )


def _way_out(kind) -> str:
    is_ids = is_type.is_list(kind) or is_type.is_large_list(kind)
    if is_ids and is_type.is_integer(kind.value_type):
        return "Token ids are read from .npy: numpy.save('ids.npy', numpy.concatenate(column.to_pylist()))."
    return "Name another column with --field, or write it as text."


def _listed(schema) -> str:
    return ", ".join(f"{field.name} ({field.type})" for field in schema)[:400]


def _is_text(kind) -> bool:
    """Text, its views and categories, and bytes, which have to be UTF-8."""
    if is_type.is_dictionary(kind):
        return _is_text(kind.value_type)
    texts = (is_type.is_string, is_type.is_large_string, is_type.is_string_view)
    return any(fits(kind) for fits in (*texts, is_type.is_binary, is_type.is_large_binary, is_type.is_binary_view))


def _is_chat(kind) -> bool:
    return (is_type.is_list(kind) or is_type.is_large_list(kind)) and is_type.is_struct(kind.value_type)


def _refuse_too_large(file: Path, metadata, columns: list[str], max_bytes: int) -> None:
    """By what the file says of its columns, before anything is unpacked."""
    groups = (metadata.row_group(n) for n in range(metadata.num_row_groups))
    chunks = (group.column(n) for group in groups for n in range(group.num_columns))
    size = sum(c.total_uncompressed_size for c in chunks if c.path_in_schema.split(".")[0] in columns)
    if size > max_bytes:
        raise CorpusError(
            f"{file} unpacks to {size:,} bytes of text; at most {max_bytes:,} are read at once. Give some of its rows."
        )
