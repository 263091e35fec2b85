"""Which document is a token of, from which file, and of which kind? Beside the rows, memory-mapped, without torch.

rows-1a2b3c.npy                 the rows, [n, length]
rows-1a2b3c.documents.npy       one entry a document, in the order of the rows
rows-1a2b3c.documents.json      the names of files and kinds, and the hash of the rows they belong to
"""

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..files import sha256, whole_file
from .documents import Documents
from .errors import CorpusError

ENTRY = np.dtype(
    [
        ("start", "<u8"),  # index of its first token among all places of the rows: row * length + position
        ("number", "<u4"),  # which of its file's documents it is
        ("source", "<u4"),  # which of the files
        ("kind", "<u4"),  # which of the kinds
    ],
    align=True,
)
NO_TABLE = "There is none"
MAKE_AGAIN = "Add the corpus again (manage.py add_corpus with its text; the demo's: manage.py load_demo)."


@dataclass(frozen=True)
class DocumentTable:
    """The documents of a corpus, in the order in which its rows have them."""

    entries: np.ndarray  # [documents] ENTRY, starts ascending
    files: tuple[str, ...]
    kinds: tuple[str, ...]
    size: int  # places of the rows: n * length
    notes: tuple[str, ...] = ()  # what was assumed, skipped or mended while the texts were read

    @classmethod
    def of(cls, documents: Documents, starts: np.ndarray, size: int) -> "DocumentTable":
        """Of documents that begin at `starts` [documents]; those beyond the rows are left out."""
        kept = np.flatnonzero(starts < size)
        entries = np.zeros(len(kept), ENTRY)
        entries["start"] = starts[kept]
        for name, column in (("number", documents.numbers), ("source", documents.sources), ("kind", documents.kinds)):
            entries[name] = np.asarray(column)[kept]
        notes = list(documents.notes)
        if left := len(documents) - len(kept):
            are = "is" if left == 1 else "are"
            notes.append(
                f"With the last row, which is incomplete, {left:,} of {len(documents):,} documents {are} left out."
            )
        names = tuple(documents.files), tuple(documents.kind_names)
        return cls(entries, *names, size, tuple(notes))

    def __len__(self) -> int:
        return len(self.entries)

    def documents_of(self, places) -> np.ndarray:
        """Which document each place (row * length + position) is of; -1 in front of the first. [n] -> [n] int64"""
        return np.searchsorted(self.entries["start"], np.asarray(places), side="right") - 1

    def kinds_of(self, places) -> np.ndarray:
        """Index of the kind of each place's document; -1 in front of the first. [n] -> [n] int64"""
        documents = self.documents_of(places)
        return np.where(documents < 0, -1, self.entries["kind"][documents].astype(np.int64))

    def tokens_by_kind(self) -> dict[str, int]:
        """Places of the rows that are of each kind, in the order of `kinds`; BOS of rows that go on counts."""
        # A document ends where the next one begins, the last one with the rows.
        sizes = np.diff(np.append(self.entries["start"], self.size).astype(np.int64))
        counts = np.bincount(self.entries["kind"], sizes, len(self.kinds))
        return dict(zip(self.kinds, counts.astype(int).tolist(), strict=True))

    def save(self, rows_path) -> None:
        """Beside the rows at `rows_path`, which have to be there. The names come last: without them there is none."""
        entries, names = _paths(rows_path)
        with whole_file(entries) as unfinished, unfinished.open("wb") as file:
            np.save(file, self.entries)
        said = {"rows_sha256": sha256(rows_path), "entries_sha256": sha256(entries), "size": self.size}
        said |= {"files": self.files, "kinds": self.kinds, "notes": self.notes}
        with whole_file(names) as unfinished:
            unfinished.write_text(json.dumps(said | {"said_sha256": _hash_of_said(said)}, indent=1))


def open_table(rows_path, rows_sha256: str = "") -> DocumentTable | None:
    """The table beside the rows; None where there is none, as beside rows of earlier versions.

    `rows_sha256`: of the rows it has to belong to. Raises CorpusError where it is of other rows, or not as it was
    written: both files have a hash, and each look of the entries is read for it once a process.
    """
    entries_path, names = _paths(rows_path)
    if not names.is_file():
        return None
    try:
        said = json.loads(names.read_text())
        entries = np.load(entries_path, mmap_mode="r", allow_pickle=False)
        table = DocumentTable(
            entries, *(tuple(said[name]) for name in ("files", "kinds")), said["size"], tuple(said["notes"])
        )
        whole = entries.dtype == ENTRY and entries.ndim == 1
    except (OSError, ValueError, EOFError, KeyError, TypeError) as error:
        raise CorpusError(f"The documents of {rows_path} cannot be read: {error}. {MAKE_AGAIN}") from error
    if not whole or (rows_sha256 and said.get("rows_sha256") != rows_sha256):
        raise CorpusError(f"{names} is the table of other rows than {rows_path}. {MAKE_AGAIN}")
    if damage := _damage(said, entries_path):
        raise CorpusError(f"The documents of {rows_path} are damaged: {damage}. {MAKE_AGAIN}")
    return table


def why_not_whole(rows_path) -> str:
    """What is wrong with the table beside rows that are there, or with the rows; empty where both are as written.

    "There is none" beside rows of earlier versions.
    """
    try:
        table = open_table(rows_path, sha256(rows_path))
    except CorpusError as damage:
        return str(damage)
    return "" if table is not None else NO_TABLE


def _damage(said: dict, entries: Path) -> str:
    """How the two files differ from what was written; empty where they do not. Earlier versions kept fewer hashes."""
    own = said.pop("said_sha256", None)
    if own is not None and own != _hash_of_said(said):
        return f"{entries.with_suffix('.json')} has changed since it was written"
    stat, was = entries.stat(), said.get("entries_sha256")
    if was is not None and (now := _hash_of(entries, stat.st_size, stat.st_mtime_ns, stat.st_ino)) != was:
        return f"{entries} has changed since it was written (SHA-256 {now[:12]}, was {str(was)[:12]})"
    return ""


@lru_cache(maxsize=64)
def _hash_of(file: Path, *look) -> str:
    return sha256(file)


def _hash_of_said(said: dict) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def starts_after_eos(rows: np.ndarray, eos: int, bos: bool) -> np.ndarray:
    """Where documents begin in rows in which each ends with EOS: at the first token, and after each EOS. [n] uint64"""
    first = int(bos)
    _, positions = rows.shape
    # The token behind an EOS begins a document; behind the last token there is none to begin.
    ends = np.flatnonzero(rows[:, first:].ravel() == eos) + 1  # in the stream of tokens, BOS left out
    return places_of(np.concatenate([[0], ends]), positions, bos)


def places_of(tokens: np.ndarray, length: int, bos: bool) -> np.ndarray:
    """Places in rows of `length` of tokens of the stream that they were cut from: BOS takes the first of each row."""
    # Rows hold length - 1 tokens of the stream behind BOS: BOS moves each by one.
    row, position = np.divmod(np.asarray(tokens, np.uint64), np.uint64(length - int(bos)))
    return row * np.uint64(length) + position + np.uint64(int(bos))


def _paths(rows_path) -> tuple[Path, Path]:
    plain = Path(rows_path).with_suffix("")
    return plain.with_name(f"{plain.name}.documents.npy"), plain.with_name(f"{plain.name}.documents.json")
