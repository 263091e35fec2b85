"""The active entries of a whole pass, kept after it: by token and by feature, in files that are mapped.

6 bytes an entry each way (by token 8 beyond 65,536 features), little besides. By token (CSR, tokens as rows) lie the
features that are active on each; by feature lie its tokens, numbered within the chunks of `active_entries`, so that two
bytes do. A manifest says how long each file is and its SHA-256. Read with numpy alone.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ..files import damage
from .active_entries import ActiveEntries, FeatureEntries

MANIFEST, FORMAT = "manifest.json", 1


class KeptEntriesDamaged(ValueError):
    """Files are missing, cut short or changed; the message says which, and how they should be."""


def bytes_needed(entries: ActiveEntries) -> int:
    """Of the files that `write_kept` would make, the manifest left out."""
    shapes = _shapes(entries.d_sae, entries.tokens, len(entries.chunk_firsts), int(entries.counts.sum()))
    return sum(int(np.prod(shape)) * dtype.itemsize for shape, dtype in shapes.values())


def _shapes(d_sae: int, tokens: int, chunks: int, count: int) -> dict[str, tuple[tuple, np.dtype]]:
    """Shape and dtype of the array in each file."""
    feature = np.uint16 if d_sae <= 2**16 else np.uint32
    shapes = {
        "token_offsets": ((tokens + 1,), np.int64),
        "token_features": ((count,), feature),
        "token_values": ((count,), np.float32),
        "feature_counts": ((d_sae, chunks), np.uint32),  # of a feature's entries, those in each chunk
        "feature_tokens": ((count,), np.uint16),  # from the chunk's first on
        "feature_values": ((count,), np.float32),
        "chunk_firsts": ((chunks,), np.int64),
        "sums": ((3, d_sae), np.float64),  # of the values, of their sizes, of their squares
    }
    return {name: (shape, np.dtype(dtype)) for name, (shape, dtype) in shapes.items()}


def write_kept(
    folder: Path,
    entries: ActiveEntries,
    about: dict | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> str:
    """Write all entries into a folder, and what they are `about`; SHA-256 of the manifest.

    `progress(done, total)` hears of entries, each written twice, and may raise to stop.
    """
    count, tokens = int(entries.counts.sum()), entries.tokens
    shapes = _shapes(entries.d_sae, tokens, len(entries.chunk_firsts), count)
    files = {name: _HashedFile(folder / name) for name in shapes}
    try:
        _write_by_token(files, entries, shapes["token_features"][1], lambda done: progress(done, 2 * count))
        _write_by_feature(files, entries, lambda done: progress(count + done, 2 * count))
        files["chunk_firsts"].append(entries.chunk_firsts)
    finally:
        for file in files.values():
            file.close()
    written = {name: {"bytes": file.size, "sha256": file.hash.hexdigest()} for name, file in files.items()}
    manifest = {"format": FORMAT, "d_sae": entries.d_sae, "tokens": tokens, "chunks": len(entries.chunk_firsts)}
    manifest |= {"entries": count, "about": about or {}, "files": written}
    text = json.dumps(manifest, indent=1).encode()
    (folder / MANIFEST).write_bytes(text)
    return hashlib.sha256(text).hexdigest()


def _write_by_token(files, entries: ActiveEntries, dtype: np.dtype, report) -> None:
    """Chunk by chunk, each turned round: a stable sort by token leaves a token's features ascending."""
    done = 0
    files["token_offsets"].append(np.zeros(1, np.int64))
    for chunk in entries.chunks():
        order = np.argsort(chunk.tokens, kind="stable")  # [n], a radix sort of two bytes
        features = np.repeat(np.arange(entries.d_sae, dtype=dtype), chunk.counts)  # [n]
        files["token_features"].append(features[order])
        files["token_values"].append(chunk.values[order])
        # Behind each token's entries stand those of the next: a running sum over the chunk, on top of all before it.
        files["token_offsets"].append(done + np.bincount(chunk.tokens, minlength=chunk.size).cumsum())
        done += len(order)
        report(done)


def _write_by_feature(files, entries: ActiveEntries, report) -> None:
    counts, firsts, done, sums = entries.counts_by_chunk(), entries.chunk_firsts, 0, np.zeros((3, entries.d_sae))
    files["feature_counts"].append(counts)
    for feature in entries.features():
        within = feature.tokens - np.repeat(firsts, counts[feature.index])  # [n] tokens from their chunk's first on
        files["feature_tokens"].append(within.astype(np.uint16))
        files["feature_values"].append(feature.values)
        values = feature.values.astype(np.float64)
        sums[:, feature.index] = values.sum(), np.abs(values).sum(), (values**2).sum()
        done += len(values)
        report(done)
    files["sums"].append(sums)


class _HashedFile:
    """Arrays one behind the other, hashed while they are written."""

    def __init__(self, path: Path):
        self.hash, self.size, self._file = hashlib.sha256(), 0, path.open("wb")

    def append(self, array: np.ndarray) -> None:
        data = np.ascontiguousarray(array).data.cast("B") if array.size else b""
        self._file.write(data)
        self.hash.update(data)
        self.size += len(data)

    def close(self):
        self._file.close()


@dataclass(frozen=True, eq=False)
class KeptEntries:
    """What `write_kept` wrote, mapped."""

    folder: Path
    manifest: dict

    @classmethod
    def open(cls, folder: Path, manifest_sha256: str) -> "KeptEntries":
        """Names and sizes of the files are looked at; what is in them by `check`. Raises KeptEntriesDamaged."""
        folder = Path(folder)
        try:
            text = (folder / MANIFEST).read_bytes()
        except OSError as error:
            raise KeptEntriesDamaged(f"{folder / MANIFEST} cannot be read: {error.strerror}.") from error
        if hashlib.sha256(text).hexdigest() != manifest_sha256:
            raise KeptEntriesDamaged(f"{folder / MANIFEST} is not the one that was written: it has another SHA-256.")
        kept = cls(folder, json.loads(text))
        kept.check(sizes_alone=True)
        return kept

    def check(self, *, sizes_alone: bool = False) -> None:
        """Read every file and compare its SHA-256. Raises KeptEntriesDamaged."""
        if damaged := damage(self.folder, self.manifest["files"], sizes_alone=sizes_alone):
            raise KeptEntriesDamaged(damaged)

    @property
    def d_sae(self) -> int:
        return self.manifest["d_sae"]

    @property
    def tokens(self) -> int:
        """As they are numbered, special ones among them."""
        return self.manifest["tokens"]

    @property
    def bytes(self) -> int:
        return sum(file["bytes"] for file in self.manifest["files"].values())

    @cached_property
    def _arrays(self) -> dict[str, np.ndarray]:
        shapes = _shapes(self.d_sae, self.tokens, self.manifest["chunks"], self.manifest["entries"])
        return {
            # Nothing can be mapped of a file without bytes.
            name: np.memmap(self.folder / name, dtype, "r", shape=shape) if all(shape) else np.zeros(shape, dtype)
            for name, (shape, dtype) in shapes.items()
        }

    # By token

    @property
    def token_offsets(self) -> np.ndarray:
        """Where each token's entries begin. [tokens + 1] int64"""
        return self._arrays["token_offsets"]

    @property
    def token_features(self) -> np.ndarray:
        """Features, ascending within a token. [entries]"""
        return self._arrays["token_features"]

    @property
    def token_values(self) -> np.ndarray:
        """[entries] float32"""
        return self._arrays["token_values"]

    # By feature

    @cached_property
    def counts(self) -> np.ndarray:
        """Entries of each feature. [d_sae] int64"""
        return self._arrays["feature_counts"].sum(1, dtype=np.int64)

    @cached_property
    def feature_offsets(self) -> np.ndarray:
        """Where each feature's entries begin. [d_sae + 1] int64"""
        return np.concatenate([[0], self.counts.cumsum()])

    @property
    def feature_values(self) -> np.ndarray:
        """[entries] float32"""
        return self._arrays["feature_values"]

    @property
    def sums(self) -> np.ndarray:
        """Of each feature's values, of their sizes, of their squares. [3, d_sae] float64"""
        return self._arrays["sums"]

    def feature_by_chunk(self, index: int) -> tuple[np.ndarray, ...]:
        """A feature's tokens, numbered from their chunk's first on, and values [n]; each chunk's first token, and how
        many of the entries lie in it [chunks]."""
        part = slice(*self.feature_offsets[index : index + 2])
        of_chunks = self._arrays["chunk_firsts"], self._arrays["feature_counts"][index]
        return tuple(map(np.asarray, (self._arrays["feature_tokens"][part], self.feature_values[part], *of_chunks)))

    def feature(self, index: int) -> FeatureEntries:
        """A feature's entries in corpus order."""
        part = slice(*self.feature_offsets[index : index + 2])
        firsts = np.repeat(self._arrays["chunk_firsts"], self._arrays["feature_counts"][index])  # [n]
        tokens = (firsts + self._arrays["feature_tokens"][part]).astype(np.uint32)
        return FeatureEntries(index, tokens, np.asarray(self.feature_values[part]))
