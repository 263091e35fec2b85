"""Are the files there that a row stands on? A look at names, sizes and headers; torch is not needed."""

import json
import struct
from pathlib import Path

from ..engine.foreign_files import in_words

HEADER_LIMIT = 32_000_000  # bytes; the longest known have a third of it. Parsed, it takes many times as much memory


def complaints(row):
    """(sentence, way out) of each file of an SAE's or corpus' row that is missing, damaged or cut short."""
    if hasattr(row, "model_path"):
        yield from _of_weights("checkpoint", row.path)
        yield from _of_weights("language model", row.model_path)
    elif why := _why_unreadable(Path(row.path)):  # a corpus
        hint = "Run `manage.py load_demo`." if row.slug == "demo" else "Put the token rows back where they were."
        yield f"the file of token rows {row.path} {why}.", hint


def _of_weights(name, path):
    path = Path(path)
    if name == "language model" and not path.is_absolute():
        return  # a name on the hub, or a folder that only the engine can find
    if path.is_dir() and not any(file.is_file() for file in path.rglob("*")):
        yield f"the {name} {path} holds no files.", "Put the files back, or correct the path in the admin."
    files = sorted(path.rglob("*.safetensors")) if path.is_dir() else [path]
    for file in files:
        if why := _why_unreadable(file):
            yield f"the {name} {in_words(file)} {why}.", "Put the file back, or correct the path in the admin."


def _why_unreadable(file):
    """None, or the end of a sentence that begins with the file."""
    if not file.exists():
        return "is missing"
    if not file.is_file() and not file.is_dir():  # a pipe would be waited for, for ever
        return "is no regular file"
    look = {".safetensors": _safetensors_fault, ".npy": _npy_fault}.get(file.suffix)
    try:
        return look(file) if look else None
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def _safetensors_fault(file):
    """The header says where the last tensor ends: that is how long the file has to be."""
    with file.open("rb") as opened:
        start = opened.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else HEADER_LIMIT + 1
        if length > HEADER_LIMIT:
            return "is damaged: it does not begin like a safetensors file"
        try:
            header = json.loads(opened.read(length))
            ends = [int(t["data_offsets"][1]) for name, t in header.items() if name != "__metadata__"]
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
            return "is damaged: its header cannot be read"
    return _wrong_size(file, 8 + length + max(ends, default=0))


def _npy_fault(file):
    import numpy as np

    with file.open("rb") as opened:
        try:
            version = np.lib.format.read_magic(opened)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(opened)
        except ValueError:
            return "is damaged: its header cannot be read"
        start = opened.tell()
    return _wrong_size(file, start + int(np.prod(shape)) * dtype.itemsize)


def _wrong_size(file, expected):
    size = file.stat().st_size
    return None if size == expected else f"is damaged: {size:,} bytes where its header says {expected:,}"
