"""Which activations are shown with their effects, in the order of the corpus, and how do stretches of it find them?

Features are chosen block by block, but a position's logits serve all features: so what each block shows is written
down row by row, and whoever computes effects reads one stretch of rows of all blocks.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..activity.examples import Chosen

ENTRY = np.dtype([("feature", np.int32), ("row", np.int32), ("position", np.int16), ("value", np.float32)])


def shown_entries(chosen: Iterable[Chosen]) -> tuple[np.ndarray, np.ndarray]:
    """Entries near the examples of some features, row by row, and where each stands among all of their `values`."""
    parts, places, count = [np.empty(0, ENTRY)], [np.empty(0, np.int64)], 0
    for one in chosen:
        near = np.flatnonzero(one.near)
        part = np.empty(len(near), ENTRY)
        part["feature"] = one.index
        part["row"] = np.repeat(one.rows, np.diff(one.starts))[near]
        part["position"], part["value"] = one.positions[near], one.values[near]
        parts.append(part)
        places.append(near + count)
        count += len(one.values)
    entries, places = np.concatenate(parts), np.concatenate(places)
    order = np.argsort(entries["row"], kind="stable")
    return entries[order], places[order]


def write_shown(folder: Path, chosen: Iterable[Chosen]) -> None:
    """What a block of features shows."""
    folder.mkdir(parents=True)
    np.save(folder / "entries.npy", shown_entries(chosen)[0])


def shown_within(folders: Iterable[Path], span: tuple[int, int]) -> list[np.ndarray]:
    """Of each block that `write_shown` wrote, the entries in the rows from span[0] to span[1]."""
    parts = []
    for folder in folders:
        entries = np.load(folder / "entries.npy", mmap_mode="r")
        parts.append(np.array(entries[slice(*np.searchsorted(entries["row"], span))]))
    return parts


def write_effects(folder: Path, effects: Iterable[np.ndarray]) -> None:
    """Effects [n, 3] of what each block shows in a stretch of rows."""
    folder.mkdir(parents=True)
    for number, part in enumerate(effects):
        np.save(folder / f"{number}.npy", part)


def effects_on(folders: Iterable[Path], block: int) -> np.ndarray:
    """Of all that a block shows, from the folders of all stretches in order. [n, 3]"""
    return np.concatenate([np.load(folder / f"{block}.npy") for folder in folders])
