"""Products of a rare feature with all rare ones: few of them ever fire together, so they are multiplied entry by entry.

One row of the Gram matrix f^T f at a time, by Gustavson's row-by-row sparse product (1978). The rare features' entries
lie on disk token by token (CSR, tokens as rows). A feature's own entries say at which tokens to look; what stands
there, times its own activation, is added up by feature.
"""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

# The one implementation, whatever the device: entries are read on the host, and there compiled loops add them up.
from ..kernels.numba.cooccurrence import add_cooccurrences
from .active_entries import FeatureEntries
from .disk import ArrayFile

FILES = ("offsets", "entries")
ENTRY = np.dtype([("column", np.int32), ("value", np.float32)])  # side by side: they are read at the same places
SEGMENT_ENTRIES = 8 << 20  # held at a time


class RareEntriesByToken:
    """Offsets of each token's entries, their features (numbered among the rare ones), and their activations."""

    def __init__(self, folder: Path, width: int):
        """`width` is the number of rare features."""
        self.width = width
        self._offsets, self._entries = (ArrayFile(folder / name, np.int64) for name in FILES)
        chunk_starts = np.load(folder / "chunk_starts.npy")  # [chunks + 1] tokens
        entries_before = np.array([self._offsets[token : token + 1][0] for token in chunk_starts])
        self._edges = _segment_edges(chunk_starts, entries_before)
        self._last: tuple | None = None  # (number of the segment read last, its contents)

    @classmethod
    def write(cls, folder: Path, chunks: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> None:
        """From (the end of each token's entries, columns, values) of chunks of the corpus in order."""
        folder.mkdir(parents=True, exist_ok=True)
        chunk_starts, count = [0], 0
        with ExitStack() as stack:
            offsets_file, entries_file = (stack.enter_context((folder / name).open("wb")) for name in FILES)
            # Offsets of all tokens are one array that begins with 0: each token adds the end of its entries.
            offsets_file.write(np.zeros(1, np.int64).data)
            for ends, columns, values in chunks:
                entries = np.empty(len(columns), ENTRY)
                entries["column"], entries["value"] = columns, values
                offsets_file.write((ends + count).data)
                entries_file.write(entries.data)
                count += len(columns)
                chunk_starts.append(chunk_starts[-1] + len(ends))
        np.save(folder / "chunk_starts.npy", np.array(chunk_starts))

    def add_products(self, features: Sequence[FeatureEntries], rows: Sequence[np.ndarray]) -> None:
        """To each feature's row [width] float64, sums over tokens of its activation times that of every rare feature.
        Each segment of entries is read once for all features."""
        for number in range(len(self._edges) - 1):
            first, end = self._edges[number], self._edges[number + 1]
            # Which of each feature's own entries lie in the segment's tokens.
            parts = [slice(*np.searchsorted(feature.tokens, [first, end])) for feature in features]
            if any(part.stop > part.start for part in parts):
                offsets, entries = self._segment(number)
            for feature, part, row in zip(features, parts, rows, strict=True):
                if part.stop > part.start:
                    tokens = feature.tokens[part].astype(np.int64) - first  # [n]
                    add_cooccurrences(tokens, feature.values[part], offsets, entries["column"], entries["value"], row)

    def _segment(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Offsets and entries of the tokens between two edges; the last ones asked for are kept."""
        last = self._last  # read once: another thread may replace it
        if last is None or last[0] != number:
            offsets = self._offsets[self._edges[number] : self._edges[number + 1] + 1]  # [tokens + 1]
            part = slice(int(offsets[0]), int(offsets[-1]))
            # An entry's eight bytes are read as one int64; offsets count from the segment's first entry.
            last = self._last = number, (offsets - offsets[0], self._entries[part].view(ENTRY))
        return last[1]


def _segment_edges(chunk_starts: np.ndarray, entries_before: np.ndarray) -> list[int]:
    """Tokens at which segments of whole chunks begin and end. entries_before: of each chunk, and of all. [chunks + 1]
    each"""
    edges = [0]
    for n in range(1, len(chunk_starts) - 1):
        # The next chunk would take the segment beyond its size: it ends before that one.
        if entries_before[n + 1] - entries_before[np.searchsorted(chunk_starts, edges[-1])] > SEGMENT_ENTRIES:
            edges.append(int(chunk_starts[n]))
    return [*edges, int(chunk_starts[-1])]
