"""The text of a file, unpacked and decoded as it is read, never beyond a bound."""

import bz2
import codecs
import gzip
import io
import lzma
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from .errors import CorpusError
from .notes import Notes

CHUNK = 1 << 20  # bytes decoded at a time
MAX_BYTES = 4 << 30  # of text read into memory
PER_CHARACTER = 8  # bytes that a file may unpack to for each that is text: JSON's escapes and other fields
UNPACKERS: dict[str, tuple[str, Callable[[Path], BinaryIO]]] = {  # ending -> program, and what opens it
    ".gz": ("gzip -dc", gzip.open),
    ".bz2": ("bzip2 -dc", bz2.open),
    ".xz": ("xz -dc", lzma.open),
    ".zst": ("zstd -dc", lambda file: _zstandard(file)),
}
MARKS = {  # how a file begins that is Unicode, but not UTF-8; longest first
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
BROKEN = (EOFError, OSError, lzma.LZMAError, gzip.zlib.error)  # what the unpackers raise for half a file


def unpacked(file: Path, max_bytes: int = MAX_BYTES) -> Iterator[bytes]:
    """The bytes of a file, unpacked by its ending, in chunks. Raises CorpusError beyond PER_CHARACTER * max_bytes, and
    where it is damaged."""
    _, opened = UNPACKERS.get(file.suffix.lower(), ("", lambda file: file.open("rb")))
    most, size = PER_CHARACTER * max_bytes, 0
    with reading(file), opened(file) as stream:
        while chunk := stream.read(CHUNK):
            size += len(chunk)
            if size > most:
                raise CorpusError(f"{file} unpacks to more than {most:,} bytes, the most that is read at once. Cut it.")
            yield bytes(chunk)


def text_of(file: Path, notes: Notes, max_bytes: int = MAX_BYTES, newlines: bool = True) -> Iterator[str]:
    """The text of a file in UTF-8, in chunks; a byte-order mark is left out, and line ends are read as newlines.

    Raises CorpusError with the line that converts it where it is in another encoding.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    lines = io.IncrementalNewlineDecoder(None, translate=True)
    before = 0
    for chunk in unpacked(file, max_bytes):
        if not before:
            _refuse_other_unicode(file, chunk)
        yield from _decoded(file, decoder, lines if newlines else None, chunk, before, notes)
        before += len(chunk)
    yield from _decoded(file, decoder, lines if newlines else None, b"", before, notes, final=True)
    if "\r\n" in (lines.newlines or ()):
        notes.add("windows", file)


def pieces_of(chunks: Iterator[str], separator: str, file: Path, most: int = MAX_BYTES) -> Iterator[str]:
    """What lies between separators, each piece whole, however many chunks it comes in. Raises CorpusError where one has
    more than `most` characters."""
    held, size, rest = [], 0, ""
    for chunk in chunks:
        # A separator may lie across two chunks: as much of the end as may begin one is looked at again.
        *whole, rest = (rest + chunk).split(separator)
        if whole:
            yield "".join([*held, whole[0]])
            yield from whole[1:]
            held, size = [], 0
        cut = max(0, len(rest) - len(separator) + 1)
        held.append(rest[:cut])
        size, rest = size + cut, rest[cut:]
        _refuse_endless(size, most, file)
    yield "".join([*held, rest])


def whole_text(chunks: Iterator[str], file: Path, most: int = MAX_BYTES) -> str:
    """All of it. Raises CorpusError beyond `most` characters."""
    held, size = [], 0
    for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        _refuse_endless(size, most, file)
    return "".join(held)


def _refuse_endless(size: int, most: int, file: Path) -> None:
    if size > most:
        raise CorpusError(
            f"{file} has more than {most:,} characters in one piece, the most that is read at once. Cut it."
        )


def lines_of(chunks: Iterator[str], file: Path, most: int = MAX_BYTES) -> Iterator[tuple[int, str]]:
    """(number, line) of each line that is not blank, from 1 on. Raises CorpusError for one that is too long."""
    return ((number, line) for number, line in enumerate(pieces_of(chunks, "\n", file, most), 1) if line.strip())


class reading:
    """Turns what unpackers raise for half a file into a sentence."""

    def __init__(self, file: Path):
        self.file = file

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if isinstance(error, BROKEN) and not isinstance(error, FileNotFoundError | PermissionError):
            raise CorpusError(f"{self.file} is cut short or damaged: {error}. Copy it again.") from error


def _decoded(file, decoder, lines, chunk: bytes, before: int, notes: Notes, final: bool = False) -> Iterator[str]:
    try:
        text = decoder.decode(chunk, final)
    except UnicodeDecodeError as error:
        # `error.object` is what was left over of the chunks before, and this chunk.
        raise _other_encoding(file, before + len(chunk) - len(error.object) + error.start, error) from error
    if not before and text.startswith("\ufeff"):
        notes.add("mark", file)
        text = text[1:]
    text = lines.decode(text, final) if lines else text
    if text:
        yield text


def _refuse_other_unicode(file: Path, start: bytes) -> None:
    named = next((name for mark, name in MARKS.items() if start.startswith(mark)), None)
    pairs = start[: len(start[:200]) // 2 * 2]
    # UTF-16 of Western text has a zero in every second byte; UTF-8 text has none at all.
    if named is None and len(pairs) >= 4 and pairs.count(0) >= len(pairs) * 0.4:
        named = "UTF-16LE" if pairs[1::2].count(0) > pairs[::2].count(0) else "UTF-16BE"
    if named:
        raise CorpusError(f"{file} is {named} text. Convert it: {_iconv(file, named)}")


def _other_encoding(file: Path, byte: int, error: UnicodeDecodeError) -> CorpusError:
    if error.reason == "unexpected end of data":
        return CorpusError(f"{file} ends within a character (byte {byte:,}): it is cut short. Copy it again.")
    value = error.object[error.start]
    return CorpusError(
        f"{file} is no UTF-8 text (byte {byte:,} is {value:#04x}). If Windows wrote it, in Western Europe or "
        f"America, convert it: {_iconv(file, 'WINDOWS-1252')} (elsewhere with another code page)"
    )


def _iconv(file: Path, encoding: str) -> str:
    """The line of a shell that makes UTF-8 of it."""
    program, _ = UNPACKERS.get(file.suffix.lower(), ("", None))
    plain = file.with_suffix("") if program else file
    out, source = shlex.quote(str(plain.with_name(f"{plain.stem}-utf8{plain.suffix}"))), shlex.quote(str(file))
    convert = f"iconv -f {encoding} -t UTF-8"
    return f"{program} {source} | {convert} > {out}" if program else f"{convert} {source} > {out}"


def _zstandard(file: Path) -> BinaryIO:
    try:
        import pyarrow
    except ImportError as error:
        raise CorpusError(f"{file}: .zst is not read here ({error}). Unpack it: zstd -d {file}") from error
    return pyarrow.CompressedInputStream(str(file), "zstd")
