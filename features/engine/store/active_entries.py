"""The active entries of all features, kept on disk while the corpus streams by.

About one activation in a hundred is not zero. Those are written down once, in pieces of some thousand tokens, feature
by feature within each piece; afterwards every exact figure of a feature, whatever its range turns out to be, is read
off its own entries. Memory does not grow with the corpus, the files do: 6 bytes an entry.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .disk import Numbers

PIECE_TOKENS = 8192  # tokens of a piece; their numbers fit two bytes
FILES = ("starts", "tokens", "values")
BLOCK_FEATURES, BLOCK_ENTRIES = 256, 4 << 20  # read at a time, at most (one feature is always read whole)


@dataclass(frozen=True)
class FeatureEntries:
    """Every activation of one feature on the corpus, in corpus order."""

    index: int
    tokens: np.ndarray  # [n] uint32, counted token, 0 = the first counted token of the first row
    values: np.ndarray  # [n] float32, not 0


@dataclass(frozen=True)
class Piece:
    """Entries of some neighbouring tokens: feature i's are `starts[i]` to `starts[i + 1]`, tokens ascending."""

    first: int  # counted token that `tokens` start from
    size: int  # how many tokens' room it takes
    starts: np.ndarray  # [d_sae + 1] int64
    tokens: np.ndarray  # [n] uint16
    values: np.ndarray  # [n] float32

    @classmethod
    def of(cls, first: int, size: int, d_sae: int, features, tokens, values) -> "Piece":
        """From entries sorted by feature, then token."""
        starts = np.searchsorted(features, np.arange(d_sae + 1))
        return cls(first, size, starts, tokens.astype(np.uint16), values.astype(np.float32, copy=False))

    @classmethod
    def empty(cls, first: int, size: int, d_sae: int) -> "Piece":
        """Of tokens that none is counted of."""
        return cls(first, size, np.zeros(d_sae + 1, np.int64), np.zeros(0, np.uint16), np.zeros(0, np.float32))

    @property
    def counts(self) -> np.ndarray:
        return np.diff(self.starts)


class EntriesWriter:
    """Pieces of one shard, in any order, into a folder. Use as a context manager; `Entries` reads them when it ends."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.count = folder, 0
        self._table: list[tuple[int, int, int]] = []  # first token, size, entries before it
        self._starts, self._tokens, self._values = ((folder / name).open("wb") for name in FILES)

    def __enter__(self):
        return self

    def append(self, piece: Piece) -> None:
        self._table.append((piece.first, piece.size, self.count))
        self._starts.write(piece.starts.astype(np.uint32).data)
        self._tokens.write(np.ascontiguousarray(piece.tokens).data)
        self._values.write(np.ascontiguousarray(piece.values).data)
        self.count += len(piece.tokens)

    def __exit__(self, *error):
        for file in (self._starts, self._tokens, self._values):
            file.close()
        np.save(self.folder / "pieces.npy", np.array(self._table, np.int64).reshape(-1, 3))


class Entries:
    """The entries of all shards, read as they are needed."""

    def __init__(self, folders: Iterable[Path]):
        places = [place for folder in folders for place in _places(Path(folder))]
        self._places = sorted(places, key=lambda place: place.first)
        self.d_sae = len(self._places[0].starts) - 1
        self.counts = np.zeros(self.d_sae, np.int64)
        for place in self._places:
            self.counts += np.diff(place.starts.astype(np.int64))

    def pieces(self) -> Iterator[Piece]:
        """All of them, in corpus order."""
        return (place.piece() for place in self._places)

    def features(self, indices: Iterable[int] | None = None) -> Iterator[FeatureEntries]:
        """Each feature's entries, in index order."""
        return (one for block in self.blocks(indices) for one in block)

    def blocks(self, indices: Iterable[int] | None = None) -> Iterator[list[FeatureEntries]]:
        """The same, those together that are read together."""
        for start, stop, chosen in self._blocks(range(self.d_sae) if indices is None else sorted(set(indices))):
            yield list(self._read(start, stop, chosen))

    def _blocks(self, wanted):
        """(first feature, end, wanted ones between) of neighbouring features that are read together."""
        chosen, entries = [], 0
        for index in wanted:
            entries += int(self.counts[index])
            if chosen and (index - chosen[0] >= BLOCK_FEATURES or entries > BLOCK_ENTRIES):
                yield chosen[0], chosen[-1] + 1, chosen
                chosen, entries = [], int(self.counts[index])
            chosen.append(index)
        if chosen:
            yield chosen[0], chosen[-1] + 1, chosen

    def _read(self, start: int, stop: int, chosen):
        """Entries of the chosen features of a block: the pieces' parts put behind each other."""
        bounds = np.array([place.starts[start : stop + 1] for place in self._places], np.int64)
        sizes = np.diff(bounds.reshape(len(self._places), stop - start + 1))  # [pieces, block]
        ends = np.cumsum(sizes.sum(0))
        begins = ends - sizes.sum(0)
        tokens = np.empty(int(sizes.sum()), dtype=np.uint32)
        values = np.empty(len(tokens), dtype=np.float32)
        offsets = begins + np.cumsum(sizes, axis=0) - sizes  # where each piece's part of each feature goes
        for place, size, offset in zip(self._places, sizes, offsets, strict=True):
            to = np.repeat(offset - (np.cumsum(size) - size), size) + np.arange(size.sum())
            own_tokens, values[to] = place.read(place.starts[start], place.starts[stop])
            tokens[to] = own_tokens.astype(np.uint32) + np.uint32(place.first)
        for index in chosen:
            part = slice(begins[index - start], ends[index - start])
            yield FeatureEntries(index, tokens[part], values[part])


@dataclass(frozen=True)
class _Place:
    """A piece on disk."""

    first: int
    size: int
    at: int  # entries of the files before it
    starts: np.ndarray  # [d_sae + 1] uint32, mapped
    tokens: Numbers
    values: Numbers

    def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        part = slice(self.at + int(start), self.at + int(stop))
        return self.tokens[part], self.values[part]

    def piece(self) -> Piece:
        return Piece(self.first, self.size, self.starts.astype(np.int64), *self.read(0, self.starts[-1]))


def _places(folder: Path) -> Iterator[_Place]:
    table, starts = np.load(folder / "pieces.npy"), np.memmap(folder / "starts", np.uint32, "r")
    starts = starts.reshape(len(table), -1)
    tokens, values = Numbers(folder / "tokens", np.uint16), Numbers(folder / "values", np.float32)
    for (first, size, at), own in zip(table.tolist(), starts, strict=True):
        yield _Place(first, size, at, own, tokens, values)
