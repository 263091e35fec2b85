"""Sums over the tokens of a corpus that stream, merge and lie on disk: what the hook point holds as a feature fires.

Explained variance and the panel "correlated neurons" of sae_vis are read off them.
"""

from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from ..kernels.sparse import weighted_row_sums
from ..kernels.transfers import AsyncHostCopy
from .disk import MatrixFile

ROWS = 1024  # copied at a time
COLUMNS = 32  # of the hook point at a time: a chunk's tile of them stays in the cache while features gather from it
DOUBLE_ROWS = 512  # turned into float64 at a time on a CPU


@dataclass(frozen=True)
class CorpusSums:
    """Over counted tokens, in float64: of h_n, of its square, of f_i h_n, and of |h - h'|^2. Those of f_i h_n are added
    up in float32 within a chunk, in float64 from chunk to chunk."""

    tokens: int
    h: np.ndarray  # [d_in]
    hh: np.ndarray  # [d_in]
    fh: MatrixFile | None  # [d_sae, d_in]; None of a pass that left it out
    error: float

    @property
    def explained_variance(self) -> float:
        """1 - sum |h - h'|^2 / sum |h - mean h|^2. Same as reference.explained_variance: float32 rounding of h'."""
        # sum |h - mean h|^2 = sum |h|^2 - |sum h|^2 / n, summed over the dimensions.
        total = float(self.hh.sum() - np.square(self.h).sum() / max(self.tokens, 1))
        return 1 - self.error / total if total > 0 else float("nan")

    @classmethod
    def load(cls, folder: Path) -> "CorpusSums":
        """f h stays on disk."""
        with np.load(folder / "sums.npz") as small:
            tokens, h, hh, error = int(small["tokens"]), small["h"], small["hh"], float(small["error"])
        path = folder / "fh.npy"
        return cls(tokens, h, hh, MatrixFile(path) if path.exists() else None, error)

    @classmethod
    def merge(cls, folders: list[Path], folder: Path) -> None:
        """Write the sums over all shards' tokens, shards taken in the order given, some rows of f h at a time."""
        shards = [cls.load(each) for each in folders]
        # Always in the order of the corpus: float64 sums then agree to the last bit, whoever made the shards.
        h, hh, error = (sum(getattr(shard, name) for shard in shards) for name in ("h", "hh", "error"))
        _save(folder, sum(shard.tokens for shard in shards), h, hh, error)
        fh = _map_fh(folder, *shards[0].fh.shape)
        for start in range(0, len(fh), ROWS):
            rows = slice(start, start + ROWS)
            fh[rows] = sum(shard.fh[rows] for shard in shards)
        fh.flush()


def _save(folder: Path, tokens: int, h: np.ndarray, hh: np.ndarray, error: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "sums.npz", tokens=tokens, h=h, hh=hh, error=error)


def _map_fh(folder: Path, rows: int, width: int) -> np.ndarray:
    return np.lib.format.open_memmap(folder / "fh.npy", "w+", np.float64, (rows, width))


class StreamingProducts:
    """Sums of f_i x_n over tokens, for the entries f of a dictionary and dense columns x: in float32 within a chunk,
    added up in float64.

    Takes chunks of a corpus from several threads at once. The columns are cut into narrow tiles (cache blocking): a
    chunk's part of a tile stays in the cache while all features gather from it.
    """

    def __init__(self, rows: int, width: int, device):
        self.width = width
        self.columns = COLUMNS if torch.device(device).type == "cpu" else width
        self.tiles = [
            torch.zeros(rows, min(self.columns, width - start), dtype=torch.float64, device=device)
            for start in range(0, width, self.columns)
        ]  # [rows, columns] each
        self._locks = [Lock() for _ in self.tiles]

    @property
    def whole(self) -> Tensor:
        """All sums, where one tile is as wide as they are. [rows, width]"""
        # On a GPU, where one tile is as wide as the hook point.
        (tile,) = self.tiles
        return tile

    def add(self, dense: Tensor, offsets: Tensor, tokens: Tensor, values: Tensor) -> None:
        """dense [n, width]; feature i's entries are `offsets[i]` to `offsets[i + 1]` of tokens and values [e]."""
        # A lock a tile: threads that add other tiles at the same time do not wait for each other.
        for total, lock, tile in zip(self.tiles, self._locks, dense.split(self.columns, dim=1), strict=True):
            sums = weighted_row_sums(tile.contiguous(), offsets, tokens, values)  # [rows, columns] float32
            with lock:
                total += sums

    def write(self, target: np.ndarray) -> None:
        """Into `target` [rows, width] float64, which may be a mapped file."""
        for start in range(0, len(target), ROWS):
            rows = slice(start, start + ROWS)
            # Tiles stand side by side: the columns of one after those of the other.
            (target[rows],) = AsyncHostCopy(torch.cat([tile[rows] for tile in self.tiles], 1)).wait()


ChunkSums = tuple[int, Tensor, Tensor, Tensor]  # tokens, error [], h [d_in], h^2 [d_in]


class StreamingSums:
    """Takes chunks of a corpus; their products f h from several threads at once."""

    def __init__(self, d_sae: int, d_in: int, device, with_products: bool = True):
        """`with_products`: f h is added up, too."""
        self.tokens = torch.zeros((), dtype=torch.int64, device=device)
        self.error = torch.zeros((), dtype=torch.float64, device=device)
        self.h, self.hh = (torch.zeros(d_in, dtype=torch.float64, device=device) for _ in range(2))
        self.fh = StreamingProducts(d_sae, d_in, device) if with_products else None

    @staticmethod
    def of_chunk(hook: Tensor, error: Tensor) -> "ChunkSums":
        """Of hook [n, d_in], whose reconstruction error is given []; no f h."""
        h, hh = (hook.new_zeros(hook.shape[1], dtype=torch.float64) for _ in range(2))
        # A float64 copy of all of it would not fit a CPU's cache.
        for part in hook.split(len(hook) if hook.is_cuda else DOUBLE_ROWS):
            double = part.double()  # [rows, d_in]
            h += double.sum(0)
            hh += double.square_().sum(0)
        return len(hook), error, h, hh

    def add(self, chunk: "ChunkSums", counts: Tensor | bool = True) -> None:
        """Adds what `of_chunk` gave, if it `counts` [] bool; in the corpus order, so that runs agree to the last bit.
        `counts` multiplies: on a GPU it is a tensor that the host does not know yet."""
        tokens, error, h, hh = chunk
        self.tokens += tokens * counts
        self.error += error * counts
        self.h += h * counts
        self.hh += hh * counts

    def summed(self) -> CorpusSums:
        """As they are now, without f h."""
        return CorpusSums(int(self.tokens), self.h.cpu().numpy(), self.hh.cpu().numpy(), None, float(self.error))

    def save(self, folder: Path) -> None:
        """As `CorpusSums.load` reads them."""
        _save(folder, int(self.tokens), self.h.cpu().numpy(), self.hh.cpu().numpy(), float(self.error))
        if self.fh:
            self.fh.write(_map_fh(folder, len(self.fh.tiles[0]), self.fh.width))
