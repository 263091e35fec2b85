"""What may be said of a file that others made, and cannot be read? What lies in its place, and why, in harmless words.

Libraries that read files advise to read them unsafely where they cannot; nothing of that is ever passed on.
"""

import re
from pathlib import Path

START = 512  # bytes looked at
POINTER = b"version https://git-lfs.github.com/spec/"
PAGE = re.compile(rb"\s*<(!doctype|html|head|body|\?xml|error)\b", re.IGNORECASE)
UNSAFE = re.compile(r"weights_only|allow_pickle|safe_globals|trust|unsafe|arbitrary code", re.IGNORECASE)
LONGEST = 200  # characters of a library's sentence


def stand_in(path) -> str:
    """A sentence on what lies at `path` in place of a file of weights or settings; empty where nothing tells.

    Git LFS leaves pointers where its files were not fetched; a browser's address saved with a program is a page.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(START).removeprefix(b"\xef\xbb\xbf")
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
