"""What may be said of a file that others made, and cannot be read? What lies in its place, and why, in harmless words.

Libraries that read files advise to read them unsafely where they cannot; nothing of that is ever passed on.
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO

START = 512  # bytes looked at
POINTER = b"version https://git-lfs.github.com/spec/"
PAGE = re.compile(rb"\s*<(!doctype|html|head|body|\?xml|error)\b", re.IGNORECASE)
UNSAFE = re.compile(r"weights_only|allow_pickle|safe_globals|trust|unsafe|arbitrary code", re.IGNORECASE)
LONGEST = 200  # characters of a library's sentence
LARGEST = 1 << 24  # bytes of JSON: parsed, it takes some twenty times its length in memory
DEEPEST = 100  # brackets inside brackets
MARK = b"\xef\xbb\xbf"  # of UTF-8, in front of a file


class Unreadable(ValueError):
    """A file that is not read; the message is a sentence which names it."""


def opened_plain(path) -> BinaryIO:
    """A regular file, open to be read. Raises Unreadable for anything else, a pipe or a device say, which could be
    waited for, or read, without end; OSError where it cannot be opened."""
    # Not blocking: to open a pipe that nobody writes into would wait already.
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    if not S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise Unreadable(f"{path} is no regular file, and only those are read.")
    return file


def plain_bytes(path, most: int = LARGEST, kind: str = "file of settings") -> bytes:
    """What is in a regular file of at most `most` bytes, without a byte-order mark.

    Raises Unreadable for anything else; OSError where it cannot be opened.
    """
    with opened_plain(path) as file:
        if (size := os.fstat(file.fileno()).st_size) > most:
            raise Unreadable(f"{path} has {size:,} bytes; a {kind} has at most {most:,}.")
        return file.read(most).removeprefix(MARK)


def read_json(path, most: int = LARGEST, kind: str = "file of settings"):
    """The value in a JSON file in UTF-8, read within bounds of length and depth. Raises Unreadable, OSError."""
    content = plain_bytes(path, most, kind)
    try:
        value = json.loads(content.decode("utf-8"))
        too_deep = _is_deeper(value, DEEPEST)
    except RecursionError:
        too_deep = True
    except ValueError as error:
        raise Unreadable(stand_in(path) or f"{path} is no JSON: {error}. Half written? Copy it again.") from error
    if too_deep:
        raise Unreadable(f"{path} has brackets inside brackets, more than {DEEPEST} deep: no file of settings has.")
    return value


def read_object(path, most: int = LARGEST, kind: str = "file of settings") -> dict:
    """The same of a file whose JSON is an object."""
    value = read_json(path, most, kind)
    if not isinstance(value, dict):
        raise Unreadable(f"{path} holds a {type(value).__name__}, not an object with settings.")
    return value


@contextmanager
def panics_as(kind: type[Exception], sentence: str) -> Iterator[None]:
    """Around a library in Rust: what it panics with is no Exception, and would end the process. It becomes a `kind`."""
    try:
        yield
    except BaseException as error:
        if not is_panic(error):
            raise
        raise kind(f"{sentence} ({str(error).strip()[:LONGEST]})") from error


def is_panic(error: BaseException) -> bool:
    """Whether a library in Rust has given up: each brings a class of its own for that, which has no other parent."""
    return type(error).__name__ == "PanicException" and not isinstance(error, Exception)


def in_words(text) -> str:
    """A path or a sentence with one as it can be written: bytes of names that are not UTF-8 become \\udc..."""
    return str(text).encode("utf-8", "backslashreplace").decode()


def in_bytes(count: int) -> str:
    """1536 -> "1.5 KiB"."""
    # bit_length - 1 is log2 rounded down; each unit is 2**10 of the one before.
    power = max(0, min(4, (int(count).bit_length() - 1) // 10))
    unit = ("bytes", "KiB", "MiB", "GiB", "TiB")[power]
    return f"{count / 1024**power:,.{1 if power else 0}f} {unit}"


def stand_in(path) -> str:
    """A sentence on what lies at `path` in place of a file of weights or settings; empty where nothing tells.

    Git LFS leaves pointers where its files were not fetched; a browser's address saved with a program is a page.
    """
    path = Path(path)
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            start = (file.read(START) or b"").removeprefix(MARK)
    except OSError:
        return ""
    if start.startswith(POINTER):
        size = re.search(rb"^size (\d{1,15})$", start, re.MULTILINE)
        length = f", which has {int(size[1]):,} bytes" if size else ""
        return (
            f"{path} is a Git LFS pointer, not the file itself{length}: run `git lfs pull` in its repository, or "
            "download the file again."
        )
    if PAGE.match(start):
        return (
            f"{path} is a web page, not the file itself: the address of its page was saved, or an error of the server. "
            "Download the file again; on the hub its address has /resolve/ where that of the page has /blob/."
        )
    return ""


def without_advice(error: BaseException, otherwise: str) -> str:
    """All that a library says, or `otherwise` where its words advise what is not safe."""
    words = str(error).strip()
    return otherwise if UNSAFE.search(words) else words


def reason(error: BaseException) -> str:
    """The first line of a library's error, or the error's kind where its words advise what is not safe."""
    words = str(error).strip()
    if not words or UNSAFE.search(words):
        return f"its bytes are not those of such a file ({type(error).__name__})"
    return words.splitlines()[0][:LONGEST]


def _is_deeper(value, most: int) -> bool:
    level = [value]
    for _ in range(most):
        inner = (part.values() if isinstance(part, dict) else part for part in level if isinstance(part, dict | list))
        level = [part for parts in inner for part in parts]
    return any(isinstance(part, dict | list) for part in level)
