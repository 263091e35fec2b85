"""The active entries (non-zeros) of all features, kept on disk while the corpus streams by.

About one activation in a hundred is not zero. Those are written down once, in chunks of some thousand tokens, feature
by feature within each chunk (CSR, features as rows); afterwards every exact figure of a feature, whatever its range
turns out to be, is read off its own entries. Memory does not grow with the corpus, the files do: 6 bytes an entry.
"""

from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .disk import ArrayFile

CHUNK_TOKENS = 8192  # of a chunk; a token's index within it fits two bytes
FILES = ("offsets", "tokens", "values")
BLOCK_FEATURES, BLOCK_ENTRIES = 256, 4 << 20  # read at a time, at most (one feature is always read whole)


@dataclass(frozen=True)
class FeatureEntries:
    """Every activation of one feature on the corpus, in corpus order. A token's number is row * width + position behind
    what is not counted in front of rows; special tokens have numbers, too, and no entries."""

    index: int
    tokens: np.ndarray  # [n] uint32, so numbered
    values: np.ndarray  # [n] float32, not 0


@dataclass(frozen=True)
class Chunk:
    """Entries of some neighbouring tokens: feature i's are `offsets[i]` to `offsets[i + 1]`, tokens ascending."""

    first: int  # token, numbered as in FeatureEntries, that `tokens` start from
    size: int  # token indices that it spans, those of special tokens among them
    offsets: np.ndarray  # [d_sae + 1] int64
    tokens: np.ndarray  # [n] uint16
    values: np.ndarray  # [n] float32

    @classmethod
    def of(cls, first: int, size: int, d_sae: int, features, tokens, values) -> "Chunk":
        """From entries [n] sorted by feature, then token."""
        offsets = np.searchsorted(features, np.arange(d_sae + 1))  # [d_sae + 1]
        return cls(first, size, offsets, tokens.astype(np.uint16), values.astype(np.float32, copy=False))

    @classmethod
    def empty(cls, first: int, size: int, d_sae: int) -> "Chunk":
        """Of tokens that none is counted of."""
        return cls(first, size, np.zeros(d_sae + 1, np.int64), np.zeros(0, np.uint16), np.zeros(0, np.float32))

    @property
    def counts(self) -> np.ndarray:
        """Entries of each feature. [d_sae]"""
        return np.diff(self.offsets)


class ActiveEntriesWriter:
    """Chunks of one shard, in any order, into a folder. A context manager; `ActiveEntries` reads them when it ends."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.count = folder, 0
        self._table: list[tuple[int, int, int]] = []  # first token, size, entries before it
        self._offsets, self._tokens, self._values = ((folder / name).open("wb") for name in FILES)

    def __enter__(self):
        return self

    def append(self, chunk: Chunk) -> None:
        self._table.append((chunk.first, chunk.size, self.count))
        # A chunk's offsets count from its own first entry: 32 bits do, whatever the shard's length.
        self._offsets.write(chunk.offsets.astype(np.uint32).data)
        self._tokens.write(np.ascontiguousarray(chunk.tokens).data)
        self._values.write(np.ascontiguousarray(chunk.values).data)
        self.count += len(chunk.tokens)

    def __exit__(self, *error):
        for file in (self._offsets, self._tokens, self._values):
            file.close()
        np.save(self.folder / "chunks.npy", np.array(self._table, np.int64).reshape(-1, 3))


class ActiveEntries:
    """The entries of all shards, read as they are needed."""

    def __init__(self, folders: Iterable[Path]):
        chunks = [chunk for folder in folders for chunk in _stored_chunks(Path(folder))]
        self._chunks = sorted(chunks, key=lambda chunk: chunk.first)
        self.d_sae = len(self._chunks[0].offsets) - 1
        self.counts = np.zeros(self.d_sae, np.int64)  # entries of each feature
        for chunk in self._chunks:
            self.counts += np.diff(chunk.offsets.astype(np.int64))

    def renumbered(self, firsts: Mapping[int, int]) -> "ActiveEntries":
        """The same with chunks that begin elsewhere: `firsts` says for each one's first token which that is now."""
        moved = copy(self)
        moved._chunks = [replace(chunk, first=firsts[chunk.first]) for chunk in self._chunks]
        return moved

    @property
    def tokens(self) -> int:
        """Token indices that all chunks span, those of special tokens among them."""
        return sum(chunk.size for chunk in self._chunks)

    @property
    def chunk_firsts(self) -> np.ndarray:
        """The first token of each chunk, in corpus order. [chunks] int64"""
        return np.array([chunk.first for chunk in self._chunks], np.int64)

    def largest_l0(self) -> int:
        """Entries of the token that has most of them."""
        return max((int(np.bincount(tokens).max()) for tokens in self._tokens_by_chunk() if len(tokens)), default=0)

    def _tokens_by_chunk(self) -> Iterator[np.ndarray]:
        """The token of every entry, within its chunk. [n] uint16 each"""
        return (chunk.entries(0, chunk.offsets[-1])[0] for chunk in self._chunks)

    def counts_by_chunk(self) -> np.ndarray:
        """Entries of each feature in each chunk. [d_sae, chunks] uint32"""
        counts = np.empty((self.d_sae, len(self._chunks)), np.uint32)
        for column, chunk in zip(counts.T, self._chunks, strict=True):
            column[:] = np.diff(chunk.offsets)
        return counts

    def chunks(self, tokens: np.ndarray | None = None) -> Iterator[Chunk]:
        """All of them, in corpus order; or those that hold one of `tokens` [n], ascending."""
        for chunk in self._chunks:
            if tokens is None or np.diff(np.searchsorted(tokens, (chunk.first, chunk.first + chunk.size)))[0]:
                yield chunk.read()

    def features(self, indices: Iterable[int] | None = None) -> Iterator[FeatureEntries]:
        """Each feature's entries, in index order."""
        return (entries for block in self.blocks(indices) for entries in block)

    def blocks(self, indices: Iterable[int] | None = None) -> Iterator[list[FeatureEntries]]:
        """The same, those together that are read together."""
        for start, stop, chosen in self._ranges(range(self.d_sae) if indices is None else sorted(set(indices))):
            yield list(self._read(start, stop, chosen))

    def _ranges(self, wanted: Iterable[int]) -> Iterator[tuple[int, int, list[int]]]:
        """(first feature, end, wanted ones between) of neighbouring features that are read together."""
        chosen, entries = [], 0
        for index in wanted:
            entries += int(self.counts[index])
            # The range so far is read before this feature would make it too wide or too large.
            if chosen and (index - chosen[0] >= BLOCK_FEATURES or entries > BLOCK_ENTRIES):
                yield chosen[0], chosen[-1] + 1, chosen
                chosen, entries = [], int(self.counts[index])
            chosen.append(index)
        if chosen:
            yield chosen[0], chosen[-1] + 1, chosen

    def _read(self, start: int, stop: int, chosen: list[int]) -> Iterator[FeatureEntries]:
        """Entries of the chosen features among those from `start` to `stop`: the chunks' parts put behind each other.

        A transposition: a chunk's file holds [feature][token], and here come [feature][chunk][token].
        """
        offsets = np.array([chunk.offsets[start : stop + 1] for chunk in self._chunks], np.int64)
        sizes = np.diff(offsets.reshape(len(self._chunks), stop - start + 1))  # [chunks, features]
        ends = np.cumsum(sizes.sum(0))  # [features]
        begins = ends - sizes.sum(0)
        tokens = np.empty(int(sizes.sum()), dtype=np.uint32)  # [entries]
        values = np.empty(len(tokens), dtype=np.float32)
        # A feature's part of a chunk goes behind its parts of all earlier chunks (an exclusive prefix sum).
        targets = begins + np.cumsum(sizes, axis=0) - sizes  # [chunks, features]
        for chunk, size, target in zip(self._chunks, sizes, targets, strict=True):
            # Entry e of the chunk's range, of feature i, moves by target[i] - (entries of the features before i).
            index = np.repeat(target - (np.cumsum(size) - size), size) + np.arange(size.sum())
            chunk_tokens, values[index] = chunk.entries(chunk.offsets[start], chunk.offsets[stop])
            tokens[index] = chunk_tokens.astype(np.uint32) + np.uint32(chunk.first)
        for feature in chosen:
            part = slice(begins[feature - start], ends[feature - start])
            yield FeatureEntries(feature, tokens[part], values[part])


@dataclass(frozen=True)
class _StoredChunk:
    """A chunk on disk."""

    first: int
    size: int
    entries_before: int  # of the same files
    offsets: np.ndarray  # [d_sae + 1] uint32, mapped
    tokens: ArrayFile
    values: ArrayFile

    def entries(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Tokens and values of the chunk's entries from `start` to `stop`. [stop - start] each"""
        part = slice(self.entries_before + int(start), self.entries_before + int(stop))
        return self.tokens[part], self.values[part]

    def read(self) -> Chunk:
        return Chunk(self.first, self.size, self.offsets.astype(np.int64), *self.entries(0, self.offsets[-1]))


def _stored_chunks(folder: Path) -> Iterator[_StoredChunk]:
    table, offsets = np.load(folder / "chunks.npy"), np.memmap(folder / "offsets", np.uint32, "r")
    offsets = offsets.reshape(len(table), -1)  # [chunks, d_sae + 1]
    tokens, values = ArrayFile(folder / "tokens", np.uint16), ArrayFile(folder / "values", np.float32)
    for (first, size, before), chunk_offsets in zip(table.tolist(), offsets, strict=True):
        yield _StoredChunk(first, size, before, chunk_offsets, tokens, values)
