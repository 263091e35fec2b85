"""Which neurons and features go with a feature: what sums of products come to."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .entries import Entries, Piece
from .neighbours import DecoderRows
from .pairs import PairProducts
from .results import Correlates, no_correlates
from .sums import Sums
from .threads import side_by_side
from .topmost import topmost

HIGHEST, LOWEST = 7, 3  # correlates kept per feature at either end
ROWS = 32  # features whose correlations are worked out together: they stay in the cache


@dataclass(frozen=True)
class Moments:
    """Sums over tokens of each feature's activation and of its square, in float64."""

    f: np.ndarray  # [d_sae]
    ff: np.ndarray  # [d_sae]

    @classmethod
    def of(cls, entries: Entries) -> "Moments":
        f, ff = np.zeros(entries.d_sae), np.zeros(entries.d_sae)
        with side_by_side(torch.device("cpu")) as run:
            for own_f, own_ff in run(partial(_moments, piece) for piece in entries.pieces()):
                f += own_f
                ff += own_ff
        return cls(f, ff)

    def save(self, folder: Path) -> None:
        np.savez(folder / "moments.npz", f=self.f, ff=self.ff)

    @classmethod
    def load(cls, folder: Path) -> "Moments":
        with np.load(folder / "moments.npz") as found:
            return cls(found["f"], found["ff"])


def _moments(piece: Piece) -> tuple[np.ndarray, np.ndarray]:
    features, values = np.repeat(np.arange(len(piece.counts)), piece.counts), piece.values.astype(np.float64)
    f = np.bincount(features, values, minlength=len(piece.counts))
    return f, np.bincount(features, np.square(values, out=values), minlength=len(piece.counts))


@dataclass(frozen=True)
class Second:
    """A second SAE on the same hook point, "encoder B", and its products with the first."""

    pairs: PairProducts
    moments: Moments
    decoder: Tensor  # [d_sae of B, d_in]


class Correlations:
    """Pearson correlations and cosines of chosen features with neurons, with all features, and with those of B."""

    def __init__(self, sums: Sums, moments: Moments, pairs: PairProducts, decoder: Tensor, second: Second | None):
        """`decoder` [d_sae, d_in] for the cosine of decoder rows."""
        self.sums, self.moments, self.pairs, self.second = sums, moments, pairs, second
        self.device = decoder.device
        self.decoder = DecoderRows(decoder)
        self.rows_b = torch.nn.functional.normalize(second.decoder, dim=1) if second else None

    def neurons(self, features: np.ndarray) -> list[Correlates]:
        """Of each of `features` [n] with the entries of the hook point."""
        fh = self.sums.fh
        return self._correlates(
            features, Others(self.sums.h, self.sums.hh), lambda some: torch.from_numpy(fh[some]).to(self.device)
        )

    def features(self, features: np.ndarray) -> list[Correlates]:
        """Of each of `features` [n] with every other feature."""
        others = Others(self.moments.f, self.moments.ff, self.pairs.right.order, self.decoder.rows, same=True)
        return self._correlates(features, others, lambda some: self.pairs.of(some, self.device))

    def second_features(self, features: np.ndarray) -> list[Correlates]:
        """Of each of `features` [n] with every feature of B; empty ones without B."""
        if self.second is None:
            return [no_correlates()] * len(features)
        b = self.second
        others = Others(b.moments.f, b.moments.ff, b.pairs.right.order, self.rows_b)
        return self._correlates(features, others, lambda some: b.pairs.of(some, self.device))

    def _correlates(self, features: np.ndarray, others: "Others", products: Callable) -> list[Correlates]:
        """From `products(some features)` [some, m] of them with `others`."""
        y, yy, places = (torch.from_numpy(part).to(self.device) for part in others.ordered())
        missing = spread(y, yy, self.sums.tokens) <= 0
        parts = np.split(features, range(ROWS, len(features), ROWS))
        return [one for part in parts for one in self._of_some(part, products(part), others, y, yy, places, missing)]

    def _of_some(self, features, products, others, y, yy, places, missing):
        x, xx = (torch.from_numpy(part[features]).to(self.device) for part in (self.moments.f, self.moments.ff))
        pearson = pearson_correlations(products, x, xx, y, yy, self.sums.tokens).float()
        pearson[:, missing] = torch.nan
        counts = np.where((spread(x, xx, self.sums.tokens) > 0).cpu().numpy(), int((~missing).sum()), 0)
        if others.same:
            pearson[(places == torch.from_numpy(features).to(self.device)[:, None])] = torch.nan
            counts = np.maximum(counts - 1, 0)
        chosen, values = _extremes(pearson)
        row = torch.arange(len(features), device=self.device)[:, None]
        values = [values, products[row, chosen] / (xx[row] * yy[chosen]).sqrt()]
        chosen = places[chosen]
        if others.rows is not None:
            own_rows = self.decoder.rows[torch.from_numpy(features).to(self.device)]
            values.append(torch.stack([others.rows[at] @ one for at, one in zip(chosen, own_rows, strict=True)]))
        chosen, values = chosen.int().cpu().numpy(), [value.float().cpu().numpy() for value in values]
        return [_row(count, chosen[n], [value[n] for value in values]) for n, count in enumerate(counts)]


@dataclass(frozen=True)
class Others:
    """What features are correlated with, m of them."""

    sums: np.ndarray  # [m] over tokens
    squares: np.ndarray  # [m]
    order: np.ndarray | None = None  # of the columns of the products; None: as they are numbered
    rows: Tensor | None = None  # [m, d_in] of the decoder that they belong to
    same: bool = False  # they are the features themselves

    def ordered(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sums, squares and numbers as the columns are ordered."""
        order = np.arange(len(self.sums)) if self.order is None else self.order
        return self.sums[order], self.squares[order], order


def spread(x: Tensor, xx: Tensor, tokens: int) -> Tensor:
    """tokens^2 times the variance, from sums of a value and of its square over `tokens`."""
    return (tokens * xx - x.square()).clamp_min(0)


def pearson_correlations(xy: Tensor, x: Tensor, xx: Tensor, y: Tensor, yy: Tensor, tokens: int) -> Tensor:
    """From sums over `tokens`: xy [n, m], x and xx [n], y and yy [m] -> [n, m] float64. Not finite where either side
    does not vary."""
    left, right = spread(x, xx, tokens).rsqrt(), spread(y, yy, tokens).rsqrt()
    return torch.addr(xy, x, y, beta=tokens, alpha=-1).mul_(left[:, None]).mul_(right)


def _extremes(pearson: Tensor) -> tuple[Tensor, Tensor]:
    """Places and values of the highest, then the lowest of each row, NaN for neither. [n, HIGHEST + LOWEST] each, or
    fewer columns where there are fewer. Overwrites `pearson`."""
    width = pearson.shape[1]
    missing = pearson.isnan()
    high = topmost(pearson.masked_fill_(missing, -torch.inf), min(HIGHEST, width))
    low = topmost(pearson.masked_fill_(missing, torch.inf), min(LOWEST, width), largest=False)
    values, places = (torch.cat([best, least.flip(1)], 1) for best, least in zip(high, low, strict=True))
    return places, values


def _row(count: int, places, values) -> Correlates:
    """Those that exist: `count` correlations are known, and none is named at both ends."""
    highest = min(HIGHEST, count)
    lowest = min(LOWEST, count - highest)
    keep = np.zeros(len(places), bool)
    keep[:highest] = True
    keep[len(places) - lowest :] = values[0][len(places) - lowest :] < 0
    pearson, cosine, *decoder = (value[keep] for value in values)
    return Correlates(places[keep], pearson, cosine, decoder[0] if decoder else np.zeros(0, np.float32))
