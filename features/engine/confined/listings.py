"""How long is a file's list of what it holds? Told by a few bytes of it, before a library takes the list apart.

It stands in front of a file of safetensors, and at the end of a zip (.pt, .npz). A library's list of it takes ten times
its length in memory and more, and 100 MB of it the better part of a minute.
"""

import os
import struct
from pathlib import Path

from ..foreign_files import Unreadable, in_bytes, opened_plain

LONGEST = 8 << 20  # bytes: of some 80,000 tensors. Files of the largest models have a tenth of that
END, END_64, PLACE_64 = b"PK\5\6", b"PK\6\6", b"PK\6\7"  # a zip's last record, its twin for long ones, where that is
END_BYTES, END_64_BYTES, PLACE_64_BYTES = 22, 56, 20
ALL_ONES = 0xFFFFFFFF  # in place of a size that the twin says
LONGEST_COMMENT = (1 << 16) - 1  # behind a zip's last record


def refuse_long(path, longest: int = LONGEST) -> None:
    """Raises Unreadable where the list is longer; OSError. A file of another form passes."""
    with opened_plain(path) as file:
        start, size = file.read(9), os.fstat(file.fileno()).st_size
        takes = _of_safetensors(start, size) if start[8:] == b"{" else _of_zip(file, size) if start[:2] == b"PK" else 0
    if takes > longest:
        raise Unreadable(
            f"{path}: its list of tensors alone has {in_bytes(takes)}, and at most {in_bytes(longest)} are read: "
            "no file of weights has so many. Is it the right file? Save it in several parts, if it is."
        )


def refuse_any_long(folder, endings: tuple[str, ...]) -> None:
    """The same of all files of a folder with one of these endings."""
    for file in sorted(Path(folder).iterdir()):
        if file.suffix in endings and file.is_file():
            refuse_long(file)


def _of_safetensors(start: bytes, size: int) -> int:
    (said,) = struct.unpack("<Q", start[:8])
    return said if said <= size else 0  # cut short: whoever reads it says so


def _of_zip(file, size: int) -> int:
    """Bytes of its directory: the most that one of its last records says. Readers differ in which they believe, the
    last of all, or the one whose comment ends where the file does."""
    file.seek(max(0, size - END_BYTES - LONGEST_COMMENT - PLACE_64_BYTES - END_64_BYTES))
    tail, found, at = file.read(), [0], -1
    last = tail.rfind(END)
    while (at := tail.find(END, at + 1)) >= 0:
        if len(record := tail[at : at + END_BYTES]) < END_BYTES:
            break
        (said,), (comment,) = struct.unpack_from("<I", record, 12), struct.unpack_from("<H", record, 20)
        if at == last or at + END_BYTES + comment == len(tail):
            found += [0 if said == ALL_ONES else said, _of_zip_64(file, tail[:at], size)]
    return max(found)


def _of_zip_64(file, before: bytes, size: int) -> int:
    """The same of the twin of a last record: it lies in front of that, and where a third record says."""
    place = before[-PLACE_64_BYTES:]
    if not place.startswith(PLACE_64):
        return 0
    # APPNOTE 4.3.15: from byte 8 on, where the record lies; 4.3.14: from byte 40 on, how long the directory is.
    (offset,) = struct.unpack_from("<Q", place, 8)
    file.seek(min(offset, size))
    twins = before[-PLACE_64_BYTES - END_64_BYTES : -PLACE_64_BYTES], file.read(END_64_BYTES)
    whole = [twin for twin in twins if len(twin) == END_64_BYTES and twin.startswith(END_64)]
    return max((struct.unpack_from("<Q", twin, 40)[0] for twin in whole), default=0)
