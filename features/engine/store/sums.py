"""Sums over the tokens of a corpus that stream, merge and lie on disk: what the hook point holds as a feature fires."""

from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from ..kernels.sparse import weighted_sums
from ..kernels.transfers import Fetched
from .disk import Matrix

ROWS = 1024  # copied at a time
COLUMNS = 32  # of the hook point at a time: a piece's share of them stays in the cache while features gather from it


@dataclass(frozen=True)
class Sums:
    """Over counted tokens, in float64: of h_n, of its square, of f_i h_n, and of |h - h'|^2."""

    tokens: int
    h: np.ndarray  # [d_in]
    hh: np.ndarray  # [d_in]
    fh: Matrix  # [d_sae, d_in]
    error: float

    @property
    def explained_variance(self) -> float:
        """1 - sum |h - h'|^2 / sum |h - mean h|^2. Same as reference.explained_variance: float32 rounding of h'."""
        total = float(self.hh.sum() - np.square(self.h).sum() / max(self.tokens, 1))
        return 1 - self.error / total if total > 0 else float("nan")

    @classmethod
    def load(cls, folder: Path) -> "Sums":
        """f h stays on disk."""
        with np.load(folder / "sums.npz") as small:
            tokens, h, hh, error = int(small["tokens"]), small["h"], small["hh"], float(small["error"])
        return cls(tokens, h, hh, Matrix(folder / "fh.npy"), error)

    @classmethod
    def merge(cls, folders: list[Path], folder: Path) -> None:
        """Write those of all tokens of all parts, taken in the order given, some rows at a time."""
        parts = [cls.load(each) for each in folders]
        h, hh, error = (sum(getattr(part, name) for part in parts) for name in ("h", "hh", "error"))
        _save(folder, sum(part.tokens for part in parts), h, hh, error)
        fh = _on_disk(folder, *parts[0].fh.shape)
        for start in range(0, len(fh), ROWS):
            rows = slice(start, start + ROWS)
            fh[rows] = sum(part.fh[rows] for part in parts)
        fh.flush()


def _save(folder: Path, tokens: int, h: np.ndarray, hh: np.ndarray, error: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "sums.npz", tokens=tokens, h=h, hh=hh, error=error)


def _on_disk(folder: Path, rows: int, width: int) -> np.ndarray:
    return np.lib.format.open_memmap(folder / "fh.npy", "w+", np.float64, (rows, width))


class Products:
    """Sums of f_i x_n over tokens, for the entries f of a dictionary and dense columns x, in float64.

    Takes pieces of a corpus from several threads at once. The columns go by in narrow strips: a piece's share of a
    strip stays in the cache while all features gather from it.
    """

    def __init__(self, rows: int, width: int, device):
        self.width = width
        self.columns = COLUMNS if torch.device(device).type == "cpu" else width
        self.strips = [
            torch.zeros(rows, min(self.columns, width - start), dtype=torch.float64, device=device)
            for start in range(0, width, self.columns)
        ]
        self._locks = [Lock() for _ in self.strips]

    @property
    def whole(self) -> Tensor:
        """All sums, where they are not in strips. [rows, width]"""
        (strip,) = self.strips
        return strip

    def add(self, dense: Tensor, starts: Tensor, tokens: Tensor, values: Tensor) -> None:
        """dense [n, width]; feature i's entries are `starts[i]` to `starts[i + 1]` of tokens and values."""
        strips = dense.split(self.columns, dim=1)
        for total, lock, strip in zip(self.strips, self._locks, strips, strict=True):
            sums = weighted_sums(strip.contiguous(), starts, tokens, values)
            with lock:
                total += sums

    def write(self, found: np.ndarray) -> None:
        """Into `found` [rows, width] float64, which may be a mapped file."""
        for start in range(0, len(found), ROWS):
            rows = slice(start, start + ROWS)
            (found[rows],) = Fetched(torch.cat([strip[rows] for strip in self.strips], 1)).wait()


class StreamingSums:
    """Takes pieces of a corpus, from several threads at once."""

    def __init__(self, d_sae: int, d_in: int, device):
        self.tokens = torch.zeros((), dtype=torch.int64, device=device)
        self.error = torch.zeros((), dtype=torch.float64, device=device)
        self.h, self.hh = (torch.zeros(d_in, dtype=torch.float64, device=device) for _ in range(2))
        self.fh = Products(d_sae, d_in, device)
        self._lock = Lock()

    def update(self, hook: Tensor, error: Tensor, counts: Tensor | bool = True) -> None:
        """hook [n, d_in] and its reconstruction error; all but what `fh` takes by itself. Only if it `counts`."""
        h, hh = (hook.new_zeros(hook.shape[1], dtype=torch.float64) for _ in range(2))
        for part in hook.split(len(hook) if hook.is_cuda else 512):  # a float64 copy of all leaves a CPU's cache
            double = part.double()
            h += double.sum(0)
            hh += double.square_().sum(0)
        with self._lock:
            self.tokens += len(hook) * counts
            self.error += error * counts
            self.h += h * counts
            self.hh += hh * counts

    def save(self, folder: Path) -> None:
        """As `Sums.load` reads them."""
        _save(folder, int(self.tokens), self.h.cpu().numpy(), self.hh.cpu().numpy(), float(self.error))
        self.fh.write(_on_disk(folder, len(self.fh.strips[0]), self.fh.width))
