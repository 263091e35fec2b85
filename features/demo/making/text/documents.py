"""Which documents are in a folder, and which source does each come from?"""

import json
import lzma
from collections.abc import Iterator
from pathlib import Path

from features.engine.corpus.documents import SEPARATOR


def named_documents(folder: Path) -> Iterator[tuple[str, str]]:
    """(source, text) from every .jsonl, .jsonl.xz and .txt file of a folder, by file name; texts as they are stored.

    A line of JSON holds "text" and perhaps "source"; otherwise the file's name up to its first dot is the source.
    """
    for path in sorted(Path(folder).iterdir()):
        name = path.name.split(".")[0]
        if path.name.endswith((".jsonl", ".jsonl.xz")):
            with lzma.open(path, "rt") if path.suffix == ".xz" else path.open() as lines:
                for record in map(json.loads, lines):
                    yield record.get("source", name), record["text"]
        elif path.suffix == ".txt":
            yield from ((name, text) for text in path.read_text().split(SEPARATOR) if text.strip())


def documents(folder: Path) -> Iterator[str]:
    """The texts alone."""
    return (text for _, text in named_documents(folder))


def mixed(folder: Path, parts: int = 8) -> list[str]:
    """The texts, every eighth first, then those after them: the first of the result are of all sources."""
    texts = list(documents(folder))
    return [text for first in range(parts) for text in texts[first::parts]]
