"""Which documents are in a file or folder of text? One reader for each ending, nothing unpacked beyond a limit."""

import gzip
import json
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

SEPARATOR = "<|endoftext|>"  # between the documents of a .txt file
MAX_BYTES = 4 << 30  # of text read into memory


class CorpusError(ValueError):
    """Text or token rows that cannot serve as a corpus; the message says what is there and the way out."""


def read_documents(path, max_bytes: int = MAX_BYTES, files: list[Path] | None = None) -> list[str]:
    """The documents of a file, or of every known file of a folder in the order of their names, or of `files` below it.

    Raises CorpusError where there is none, one is damaged, or they have more than `max_bytes` together.
    """
    path = Path(path)
    files = files or document_files(path)
    documents, size = [], 0
    for document in chain.from_iterable(READERS[ending_of(file)](file) for file in files):
        document = document.strip()
        # Counted while they arrive: a small .gz can hold more text than the memory.
        size += len(document)
        if size > max_bytes:
            raise CorpusError(
                f"{path} has more than {max_bytes:,} characters of text, the most that is read at once. "
                "Give some of its files, or token ids as .npy."
            )
        if document:
            documents.append(document)
    if not documents:
        raise CorpusError(f"No text in {path}: {len(files)} files, 0 documents.")
    return documents


def ending_of(file: Path) -> str | None:
    """The ending that says how a file is read; None where no reader knows it."""
    return next((ending for ending in READERS if file.name.lower().endswith(ending)), None)


def document_files(path: Path) -> list[Path]:
    """A file that can be read, or all such files of a folder in the order of their names. Raises CorpusError."""
    known = ", ".join(READERS)
    if not path.exists():
        raise CorpusError(f"{path} does not exist. A corpus is a file or a folder of {known}, or ids as .npy.")
    if path.is_file() and not ending_of(path):
        raise CorpusError(f"{path} ends in none of {known}. Rename it, or give another file.")
    files = [path] if path.is_file() else sorted(f for f in path.iterdir() if f.is_file() and ending_of(f))
    if not files:
        raise CorpusError(f"No text in {path}: 0 documents, no file ends in {known}. Put such files there.")
    return files


def _read_txt(file: Path) -> Iterator[str]:
    try:
        yield from file.read_text("utf-8").split(SEPARATOR)
    except UnicodeDecodeError as error:
        raise CorpusError(f"{file} is no UTF-8 text (byte {error.start:,}). Convert it first.") from error


def _read_jsonl(file: Path) -> Iterator[str]:
    opened = gzip.open if file.suffix == ".gz" else open
    try:
        with opened(file, "rt", encoding="utf-8") as lines:
            yield from (_text_of(file, number, line) for number, line in enumerate(lines, 1) if line.strip())
    except (EOFError, gzip.BadGzipFile, UnicodeDecodeError) as error:
        raise CorpusError(f"{file} is cut short or damaged: {error}. Copy it again.") from error


def _text_of(file: Path, number: int, line: str) -> str:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise CorpusError(f"{file}, line {number:,}, is no JSON: {error}. Half written? Copy it again.") from error
    text = value if isinstance(value, str) else value.get("text") if isinstance(value, dict) else None
    if not isinstance(text, str):
        has = ", ".join(value) if isinstance(value, dict) else type(value).__name__
        raise CorpusError(f'{file}, line {number:,}, has no "text" (it has: {has}). Name the field of the text "text".')
    return text


def _read_parquet(file: Path) -> Iterator[str]:
    try:
        from .parquet import read_parquet_documents
    except ImportError as error:
        raise CorpusError(f"{file}: parquet is not read here ({error}). Convert it to .jsonl.") from error
    return iter(read_parquet_documents(file))


READERS: dict[str, Callable[[Path], Iterator[str]]] = {
    ".txt": _read_txt,
    ".jsonl": _read_jsonl,
    ".jsonl.gz": _read_jsonl,
    ".parquet": _read_parquet,
}
