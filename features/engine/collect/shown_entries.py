"""Which activations are shown with their effects, in the order of the corpus, and how do segments of it find them?

Features are chosen block by block, but a position's logits serve all features: so what each block shows is written
down row by row, and whoever computes effects reads one segment of rows of all blocks.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..activity.examples import ChosenExamples

ENTRY = np.dtype([("feature", np.int32), ("row", np.int32), ("position", np.int16), ("value", np.float32)])


def shown_entries(chosen: Iterable[ChosenExamples]) -> tuple[np.ndarray, np.ndarray]:
    """Entries near the examples of some features, row by row, and each one's index among all of their `values`.
    [n] ENTRY, [n] int64"""
    parts, indices, count = [np.empty(0, ENTRY)], [np.empty(0, np.int64)], 0
    for feature in chosen:
        near = np.flatnonzero(feature.near)
        part = np.empty(len(near), ENTRY)
        part["feature"] = feature.index
        # Offsets count values row by row (CSR): each value gets the number of its row.
        part["row"] = np.repeat(feature.rows, np.diff(feature.offsets))[near]
        part["position"], part["value"] = feature.positions[near], feature.values[near]
        parts.append(part)
        # Features' values lie one behind the other: this one's begin after `count`.
        indices.append(near + count)
        count += len(feature.values)
    entries, indices = np.concatenate(parts), np.concatenate(indices)
    # Stable: within a row entries stay feature by feature.
    order = np.argsort(entries["row"], kind="stable")
    return entries[order], indices[order]


def write_shown(folder: Path, chosen: Iterable[ChosenExamples]) -> None:
    """What a block of features shows."""
    folder.mkdir(parents=True)
    np.save(folder / "entries.npy", shown_entries(chosen)[0])


def shown_within(folders: Iterable[Path], span: tuple[int, int]) -> list[np.ndarray]:
    """Of each block that `write_shown` wrote, the entries in the rows from span[0] to span[1]."""
    parts = []
    for folder in folders:
        # Mapped: of a large block only the pages of these rows are read.
        entries = np.load(folder / "entries.npy", mmap_mode="r")
        # Entries ascend by row: two binary searches find where the rows from span[0] begin and those from span[1].
        parts.append(np.array(entries[slice(*np.searchsorted(entries["row"], span))]))
    return parts


def write_effects(folder: Path, effects: Iterable[np.ndarray]) -> None:
    """Effects [n, 3] of what each block shows in a segment of rows."""
    folder.mkdir(parents=True)
    for block, part in enumerate(effects):
        np.save(folder / f"{block}.npy", part)


def effects_on(folders: Iterable[Path], block: int) -> np.ndarray:
    """Of all that a block shows, from the folders of all segments in order. [n, 3]"""
    # Segments ascend by row, and so do entries within each: together they are in the order of `entries.npy`.
    return np.concatenate([np.load(folder / f"{block}.npy") for folder in folders])
