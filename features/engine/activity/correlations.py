"""Which neurons and features go with a feature: what sums of products come to."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..kernels.numba.topk import extreme_correlations
from ..kernels.parallel import parallel_map
from ..results import Correlates, no_correlates
from ..store.active_entries import ActiveEntries, Chunk
from ..store.pair_products import PairProducts
from ..store.sums import CorpusSums
from ..weights.decoder_neighbours import SHORTEST, DecoderRows

HIGHEST, LOWEST = 7, 3  # correlates kept per feature at either end
COSINE_BYTES = 2 << 20  # of decoder rows that are compared at a time


@dataclass(frozen=True)
class Moments:
    """Sums over tokens of each feature's activation and of its square, in float64."""

    f: np.ndarray  # [d_sae]
    ff: np.ndarray  # [d_sae]

    @classmethod
    def of(cls, entries: ActiveEntries) -> "Moments":
        f, ff = np.zeros(entries.d_sae), np.zeros(entries.d_sae)
        with parallel_map(torch.device("cpu")) as run:
            for own_f, own_ff in run(partial(_moments, piece) for piece in entries.chunks()):
                f += own_f
                ff += own_ff
        return cls(f, ff)

    def save(self, folder: Path) -> None:
        np.savez(folder / "moments.npz", f=self.f, ff=self.ff)

    @classmethod
    def load(cls, folder: Path) -> "Moments":
        with np.load(folder / "moments.npz") as found:
            return cls(found["f"], found["ff"])


def _moments(piece: Chunk) -> tuple[np.ndarray, np.ndarray]:
    features, values = np.repeat(np.arange(len(piece.counts)), piece.counts), piece.values.astype(np.float64)
    f = np.bincount(features, values, minlength=len(piece.counts))
    return f, np.bincount(features, np.square(values, out=values), minlength=len(piece.counts))


@dataclass(frozen=True)
class EncoderB:
    """A second SAE on the same hook point, "encoder B", and its products with the first."""

    pairs: PairProducts
    moments: Moments
    decoder: Tensor  # [d_sae of B, d_in]


class Correlations:
    """Pearson correlations and cosines of chosen features with neurons, with all features, and with those of B.

    Same as reference.pearson, cosine, correlates and decoder_cosine: exact of float32 activations, summed in float64.
    """

    def __init__(
        self, sums: CorpusSums, moments: Moments, pairs: PairProducts, decoder: Tensor, second: EncoderB | None
    ):
        """`decoder` [d_sae, d_in] for the cosine of decoder rows."""
        self.sums, self.moments, self.pairs, self.second = sums, moments, pairs, second
        self.decoder = DecoderRows(decoder)
        self._neurons = Others.of(sums.h, sums.hh, sums.tokens)
        self._features = Others.of(moments.f, moments.ff, sums.tokens, pairs.right.order, decoder)
        self._own = np.argsort(pairs.right.order)  # the column of each feature
        if second is not None:
            of_b = second.moments
            self._second = Others.of(of_b.f, of_b.ff, sums.tokens, second.pairs.right.order, second.decoder)

    def neurons(self, features: np.ndarray) -> list[Correlates]:
        """Of each of `features` [n] with the entries of the hook point."""
        return self._correlates(features, self._neurons, self.sums.fh.__getitem__)

    def features(self, features: np.ndarray) -> list[Correlates]:
        """Of each of `features` [n] with every other feature."""
        return self._correlates(features, self._features, self.pairs.rows, self._own)

    def second_features(self, features: np.ndarray) -> list[Correlates]:
        """Of each of `features` [n] with every feature of B; empty ones without B."""
        if self.second is None:
            return [no_correlates()] * len(features)
        return self._correlates(features, self._second, self.second.pairs.rows)

    def _correlates(self, features: np.ndarray, others: "Others", products: Callable, own=None) -> list[Correlates]:
        """From `products(features)` [n, m] of them with `others`, among which they are the `own`."""
        products = products(features)
        x, xx = self.moments.f[features], self.moments.ff[features]
        scale = inverse_spread(x, xx, self.sums.tokens)
        left_out = np.full(len(features), -1) if own is None else own[features]
        pearson, columns = _extremes(products, x, scale, others, self.sums.tokens, left_out)
        with np.errstate(divide="ignore", invalid="ignore"):  # of columns that stand for none
            cosine = np.take_along_axis(products, columns, 1) / np.sqrt(xx[:, None] * others.squares[columns])
        chosen, values = others.places[columns], [pearson, cosine]
        if others.rows is not None:
            values.append(self._decoder_cosines(features, chosen, others.rows))
        known = int((others.scales > 0).sum()) - (own is not None)
        counts = np.where(scale > 0, known, 0)
        chosen, values = chosen.astype(np.int32), [value.astype(np.float32) for value in values]
        return [_row(count, chosen[n], [value[n] for value in values]) for n, count in enumerate(counts)]

    def _decoder_cosines(self, features: np.ndarray, chosen: np.ndarray, rows: Tensor) -> np.ndarray:
        """Of each feature's decoder row with some of `rows`. [n, k]"""
        features, chosen = (torch.from_numpy(part).to(rows.device) for part in (features, chosen))
        some = max(1, COSINE_BYTES // (4 * chosen.shape[1] * rows.shape[1])) if chosen.numel() else 1
        parts = zip(chosen.split(some), self.decoder.unit(features).split(some), strict=True)
        return torch.cat([_cosines(rows[at], own) for at, own in parts]).cpu().numpy()


@dataclass(frozen=True)
class Others:
    """What features are correlated with, m of them, as the columns of the products are ordered."""

    sums: np.ndarray  # [m] over tokens
    squares: np.ndarray  # [m]
    scales: np.ndarray  # [m], see inverse_spread
    places: np.ndarray  # [m] their numbers
    rows: Tensor | None  # [m, d_in] of the decoder that they belong to

    @classmethod
    def of(cls, sums: np.ndarray, squares: np.ndarray, tokens: int, order=None, rows=None) -> "Others":
        order = np.arange(len(sums)) if order is None else order
        sums, squares = sums[order], squares[order]
        return cls(sums, squares, inverse_spread(sums, squares, tokens), order, rows)


def _cosines(rows: Tensor, own: Tensor) -> Tensor:
    """Of each row of own [n, width], of length one, with some others [n, k, width]. [n, k]"""
    lengths = rows.norm(dim=2).clamp_min_(SHORTEST)
    return torch.bmm(rows, own[:, :, None]).squeeze(2).div_(lengths)


def inverse_spread(x: np.ndarray, xx: np.ndarray, tokens: int) -> np.ndarray:
    """1 / (tokens * standard deviation), from sums of a value and of its square over `tokens`; 0 where it does not
    vary."""
    spread = tokens * xx - np.square(x)
    return np.divide(
        1, np.sqrt(spread, where=spread > 0, out=np.ones_like(spread)), where=spread > 0, out=np.zeros_like(spread)
    )


def _extremes(products, x, scale, others: Others, tokens: int, left_out) -> tuple[np.ndarray, np.ndarray]:
    """Pearson correlations of the highest, then the lowest of each row, the lowest last, and their columns.
    [n, HIGHEST + LOWEST] each; where there are fewer, infinite ones stand for none"""
    high, low = (np.full((len(x), count), -np.inf) for count in (HIGHEST, LOWEST))
    high_at, low_at = (np.zeros(part.shape, np.int64) for part in (high, low))
    extreme_correlations(
        products, x, scale, others.sums, others.scales, tokens, left_out, high, high_at, low, low_at
    )  # fmt: skip
    return np.concatenate([high, -low[:, ::-1]], 1), np.concatenate([high_at, low_at[:, ::-1]], 1)


def _row(count: int, places, values) -> Correlates:
    """Those that exist: `count` correlations are known, and none is named at both ends."""
    highest = min(HIGHEST, count)
    lowest = min(LOWEST, count - highest)
    keep = np.zeros(len(places), bool)
    keep[:highest] = True
    keep[len(places) - lowest :] = values[0][len(places) - lowest :] < 0
    pearson, cosine, *decoder = (value[keep] for value in values)
    return Correlates(places[keep], pearson, cosine, decoder[0] if decoder else np.zeros(0, np.float32))
