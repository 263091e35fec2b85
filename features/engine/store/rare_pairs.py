"""Products of a rare feature with all rare ones: few of them ever meet, so they are multiplied entry by entry.

The rare features' entries lie on disk token by token. A feature's own entries say at which tokens to look; what stands
there, times its own activation, is added up by feature.
"""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from ..kernels.numba.cooccurrence import add_meetings
from .active_entries import FeatureEntries
from .disk import Numbers

FILES = ("starts", "entries")
ENTRY = np.dtype([("column", np.int32), ("value", np.float32)])  # side by side: they are read at the same places
STRETCH = 8 << 20  # entries that are held at a time


class RareByToken:
    """Where each token's entries begin, their features (numbered among the rare ones), and their activations."""

    def __init__(self, folder: Path, width: int):
        """`width` is the number of rare features."""
        self.width = width
        self._starts, self._entries = (Numbers(folder / name, np.int64) for name in FILES)
        firsts = np.load(folder / "firsts.npy")
        self._edges = _edges(firsts, np.array([self._starts[at : at + 1][0] for at in firsts]))
        self._read: tuple | None = None  # (number of a stretch, its contents)

    @classmethod
    def write(cls, folder: Path, pieces: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> None:
        """From (the end of each token's entries, columns, values) of pieces of the corpus in order."""
        folder.mkdir(parents=True, exist_ok=True)
        firsts, count = [0], 0
        with ExitStack() as stack:
            files = [stack.enter_context((folder / name).open("wb")) for name in FILES]
            files[0].write(np.zeros(1, np.int64).data)
            for ends, columns, values in pieces:
                entries = np.empty(len(columns), ENTRY)
                entries["column"], entries["value"] = columns, values
                files[0].write((ends + count).data)
                files[1].write(entries.data)
                count += len(columns)
                firsts.append(firsts[-1] + len(ends))
        np.save(folder / "firsts.npy", np.array(firsts))

    def add_products(self, features: Sequence[FeatureEntries], found: Sequence[np.ndarray]) -> None:
        """To each feature's row of `found` [width] float64, sums over tokens of its activation times that of every rare
        one. What stands at the tokens is read once for all of them."""
        for number in range(len(self._edges) - 1):
            first, end = self._edges[number], self._edges[number + 1]
            parts = [slice(*np.searchsorted(feature.tokens, [first, end])) for feature in features]
            if any(part.stop > part.start for part in parts):
                starts, entries = self._stretch(number)
            for feature, part, row in zip(features, parts, found, strict=True):
                if part.stop > part.start:
                    tokens = feature.tokens[part].astype(np.int64) - first
                    add_meetings(tokens, feature.values[part], starts, entries["column"], entries["value"], row)

    def _stretch(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Starts and entries of the tokens between two edges; the last ones asked for are kept."""
        read = self._read
        if read is None or read[0] != number:
            starts = self._starts[self._edges[number] : self._edges[number + 1] + 1]
            part = slice(int(starts[0]), int(starts[-1]))
            read = self._read = number, (starts - starts[0], self._entries[part].view(ENTRY))
        return read[1]


def _edges(firsts: np.ndarray, before: np.ndarray) -> list[int]:
    """Tokens at which stretches of whole pieces begin and end. `before`: entries before each piece, and all."""
    edges = [0]
    for at in range(1, len(firsts) - 1):
        if before[at + 1] - before[np.searchsorted(firsts, edges[-1])] > STRETCH:
            edges.append(int(firsts[at]))
    return [*edges, int(firsts[-1])]
