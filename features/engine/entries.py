"""The active entries of all features, kept on disk while the corpus streams by.

About one activation in a hundred is not zero. Those are written down once, feature by feature within each
batch; afterwards every exact figure of a feature, whatever its range turns out to be, is read off its own
entries. Memory does not grow with the corpus, the file does: 8 bytes an entry. The files have no name (TMPDIR says
on which disk they are), so that nothing is left behind by a process that was killed.
"""

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class FeatureEntries:
    """Every activation of one feature on the corpus, in corpus order."""

    index: int
    tokens: np.ndarray  # [n] uint32, counted token, 0 = the first counted token of the first row
    values: np.ndarray  # [n] float32, > 0


@dataclass(frozen=True)
class _Batch:
    """Where one batch lies in the files: its entry `starts[i]` to `starts[i + 1]` are feature i's."""

    at: int  # entries before it
    starts: np.ndarray  # [d_sae + 1] int64
    first_token: int


class ActiveEntries:
    """Append batches, then read features. Use as a context manager: the files go when it closes."""

    def __init__(self, d_sae: int):
        self.d_sae = d_sae
        self.counts = np.zeros(d_sae, dtype=np.int64)
        self._tokens = tempfile.TemporaryFile()  # noqa: SIM115 (close() is this class's own)
        self._values = tempfile.TemporaryFile()  # noqa: SIM115
        self._batches: list[_Batch] = []

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        self._tokens.close()
        self._values.close()

    def append(self, first_token: int, counts: np.ndarray, tokens: np.ndarray, values: np.ndarray) -> None:
        """Add the entries of the tokens from `first_token` on.

        counts [d_sae] entries of each feature, tokens [n] counted from `first_token`, values [n] not 0; both
        feature by feature, tokens ascending within a feature.
        """
        starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        self._batches.append(_Batch(int(self.counts.sum()), starts, first_token))
        self._tokens.write((tokens + first_token).astype(np.uint32).tobytes())
        self._values.write(values.astype(np.float32, copy=False).tobytes())
        self.counts += counts

    def features(self, indices: Iterable[int] | None = None, block: int = 256) -> Iterator[FeatureEntries]:
        """Each feature's entries, in index order; `block` neighbouring features are read at a time."""
        wanted = range(self.d_sae) if indices is None else sorted(set(indices))
        for start in sorted({index // block * block for index in wanted}):
            stop = min(start + block, self.d_sae)
            chosen = wanted[start:stop] if indices is None else [i for i in wanted if start <= i < stop]
            yield from self._read(start, stop, chosen)

    def _read(self, start: int, stop: int, chosen) -> Iterator[FeatureEntries]:
        """Entries of the chosen features of a block: the batches' pieces put behind each other."""
        batches = sorted(self._batches, key=lambda batch: batch.first_token)
        sizes = np.array([np.diff(batch.starts[start : stop + 1]) for batch in batches])  # [batches, block]
        sizes = sizes.reshape(len(batches), stop - start)
        ends = np.cumsum(sizes.sum(0))
        begins = ends - sizes.sum(0)
        tokens = np.empty(int(sizes.sum()), dtype=np.uint32)
        values = np.empty(len(tokens), dtype=np.float32)
        offsets = begins + np.cumsum(sizes, axis=0) - sizes  # where each batch's piece of each feature goes
        for batch, size, offset in zip(batches, sizes, offsets, strict=True):
            first, count = batch.at + int(batch.starts[start]), int(size.sum())
            to = np.repeat(offset - (np.cumsum(size) - size), size) + np.arange(count)
            tokens[to] = _part(self._tokens, np.uint32, first, count)
            values[to] = _part(self._values, np.float32, first, count)
        for index in chosen:
            part = slice(begins[index - start], ends[index - start])
            yield FeatureEntries(index, tokens[part], values[part])


def _part(file, kind, first: int, count: int) -> np.ndarray:
    """`count` numbers of 4 bytes from the `first` on."""
    file.flush()
    file.seek(4 * first)
    return np.frombuffer(file.read(4 * count), kind)
