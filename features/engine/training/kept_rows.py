"""What is the same for every checkpoint of a run: activations at the hook point on its rows, losses without an SAE.

The model reads a run's rows once; later checkpoints find its activations in a file. Before it is believed, one row of
it is computed again: the model's files, or the way they are read, may have changed since.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..files import whole_file
from ..subject import Subject
from ..weights import summary
from .rebuilt_rows import RebuiltRows

ACTIVATIONS, LOSSES = "activations.npy", "losses.npy"
ALIKE = 1e-4  # of a row's largest activation: the same product of other shapes differs in its last bits


@dataclass(frozen=True)
class RowsSubject(Subject):
    """A Subject that knows the activations of some rows, or writes them down as it computes them."""

    numbers: dict[bytes, int] = field(default_factory=dict)  # of each row of ids
    kept: np.ndarray | None = None  # [rows, length, d_in] float32
    known: np.ndarray | None = None  # [rows] bool, which of them are there

    @torch.no_grad()
    def activations(self, ids) -> Tensor:
        ids = self.tokens(ids)
        found = [self.numbers.get(row.tobytes()) for row in ids.numpy()]
        if None in found:
            return super().activations(ids)
        if not self.known[found].all():
            computed = super().activations(ids).float()
            self.kept[found], self.known[found] = computed.numpy(), True
            return computed
        return torch.from_numpy(self.kept[found])


def bytes_of(subject: Subject, rows: np.ndarray) -> int:
    """That activations of these rows [n, length] take."""
    return rows.size * subject.sae.config.d_in * np.dtype(np.float32).itemsize


@contextmanager
def kept_rows(subject: Subject, rows: np.ndarray, folder: Path | None) -> Iterator[Subject]:
    """The subject with what `folder` holds of rows [n, length]; what it does not hold is there after the block, in
    which all rows are read. The subject itself without a folder, or on a GPU, which computes sooner than a disk reads.
    """
    if folder is None or subject.device.type != "cpu":
        yield subject
        return
    # Rows are known again by their ids: equal rows have equal activations, whichever of them is asked for.
    numbers = {row.tobytes(): number for number, row in enumerate(rows.astype(np.int64))}
    if (kept := _believed(subject, rows, numbers, folder)) is not None:
        yield _with(subject, numbers, kept, np.ones(len(rows), bool))
        return
    (folder / LOSSES).unlink(missing_ok=True)
    with whole_file(folder / ACTIVATIONS) as unfinished:
        shape = (*rows.shape, subject.sae.config.d_in)
        kept = np.lib.format.open_memmap(unfinished, "w+", np.float32, shape)
        knowing = _with(subject, numbers, kept, np.zeros(len(rows), bool))
        yield knowing
        for number in sorted(numbers.values()):  # that nobody asked for, if any: no row is kept as zeros
            if not knowing.known[number]:
                knowing.activations(rows[number].astype(np.int64))
        kept.flush()


def losses_on(
    subject: Subject,
    rebuilt: RebuiltRows,
    rows: np.ndarray,
    folder: Path | None,
    at: np.ndarray | None = None,
    every: int = 0,
) -> np.ndarray:
    """As summary.losses_by_row of these rows [n, length], which are the rebuilt ones; what needs no SAE is measured the
    first time. `at` [n]: which of `every` rows that losses are measured on these are, where they are not all. [n, 4]"""
    path = folder / LOSSES if isinstance(subject, RowsSubject) else None
    baselines = None
    if path is not None and path.exists():
        baselines = np.load(path)
        baselines = baselines if baselines.shape == (len(rows) if at is None else every, 2) else None
        baselines = baselines if baselines is None or at is None else baselines[at]
    found = summary.losses_by_row(subject, rebuilt.encoder, rows, baselines=baselines, rebuilt=rebuilt)
    if path is not None and baselines is None and at is None and len(found):
        with whole_file(path) as unfinished, unfinished.open("wb") as file:
            # Columns 0 and 2: the loss as it is, and with zeros. They need no SAE, and are the same for each
            # checkpoint.
            np.save(file, found[:, [0, 2]])
    return found


def _with(subject: Subject, numbers: dict[bytes, int], kept: np.ndarray, known: np.ndarray) -> RowsSubject:
    of = {each.name: getattr(subject, each.name) for each in fields(Subject)}
    return RowsSubject(**of, numbers=numbers, kept=kept, known=known)


@torch.no_grad()
def _believed(subject: Subject, rows: np.ndarray, numbers: dict[bytes, int], folder: Path) -> np.ndarray | None:
    """What is kept, mapped, where it is whole and the model still says the same of one row."""
    try:
        kept = np.load(folder / ACTIVATIONS, mmap_mode="c")  # torch asks for arrays that can be written
    except (OSError, ValueError):
        return None
    if kept.shape != (*rows.shape, subject.sae.config.d_in):
        return None
    # One row in the middle is computed anew: other weights, or another library, would say something else there.
    row = numbers[rows[len(rows) // 2].astype(np.int64).tobytes()]
    now = subject.activations(rows[row].astype(np.int64))[0].float().numpy()
    return kept if np.abs(kept[row] - now).max() <= ALIKE * np.abs(now).max() else None
