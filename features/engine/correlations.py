"""Which neurons and features go with a feature: what sums of products come to."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .entries import Entries
from .neighbours import DecoderRows
from .pairs import PairProducts
from .results import Correlates, no_correlates
from .sums import Sums

HIGHEST, LOWEST = 7, 3  # correlates kept per feature at either end


@dataclass(frozen=True)
class Moments:
    """Sums over tokens of each feature's activation and of its square, in float64."""

    f: np.ndarray  # [d_sae]
    ff: np.ndarray  # [d_sae]

    @classmethod
    def of(cls, entries: Entries) -> "Moments":
        f, ff = np.zeros(entries.d_sae), np.zeros(entries.d_sae)
        for piece in entries.pieces():
            features, values = np.repeat(np.arange(entries.d_sae), piece.counts), piece.values.astype(np.float64)
            f += np.bincount(features, values, minlength=entries.d_sae)
            ff += np.bincount(features, np.square(values, out=values), minlength=entries.d_sae)
        return cls(f, ff)

    def save(self, folder: Path) -> None:
        np.savez(folder / "moments.npz", f=self.f, ff=self.ff)

    @classmethod
    def load(cls, folder: Path) -> "Moments":
        with np.load(folder / "moments.npz") as found:
            return cls(found["f"], found["ff"])


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
        products = torch.from_numpy(self.sums.fh[features]).to(self.device)
        return self._correlates(features, products, self.sums.h, self.sums.hh, None)

    def features(self, features: np.ndarray) -> list[Correlates]:
        """Of each of `features` [n] with every other feature."""
        products, rows = self.pairs.of(features, self.device), self.decoder.rows
        return self._correlates(features, products, self.moments.f, self.moments.ff, rows, own=features)

    def second_features(self, features: np.ndarray) -> list[Correlates]:
        """Of each of `features` [n] with every feature of B; empty ones without B."""
        if self.second is None:
            return [no_correlates()] * len(features)
        products = self.second.pairs.of(features, self.device)
        return self._correlates(features, products, self.second.moments.f, self.second.moments.ff, self.rows_b)

    def _correlates(self, features, products: Tensor, y, yy, rows: Tensor | None, own=None) -> list[Correlates]:
        """From products [n, m] of the features with y, and the sums of y and its squares [m]. `rows` [m, d_in] of the
        decoder that y belongs to, or None."""
        x, xx, y, yy = (
            torch.from_numpy(np.ascontiguousarray(part)).to(self.device)
            for part in (self.moments.f[features], self.moments.ff[features], y, yy)
        )
        pearson = pearson_correlations(products, x, xx, y, yy, self.sums.tokens).float()
        missing = spread(y, yy, self.sums.tokens) <= 0
        pearson[:, missing] = torch.nan
        counts = np.where((spread(x, xx, self.sums.tokens) > 0).cpu().numpy(), int((~missing).sum()), 0)
        if own is not None:
            pearson[torch.arange(len(own)), torch.from_numpy(own)] = torch.nan
            counts = np.maximum(counts - 1, 0)
        chosen, values = _extremes(pearson)
        row = torch.arange(len(features), device=self.device)[:, None]
        values = [values, products[row, chosen] / (xx[row] * yy[chosen]).sqrt()]
        if rows is not None:
            own_rows = self.decoder.rows[torch.from_numpy(features).to(self.device)]
            values.append(torch.stack([rows[at] @ one for at, one in zip(chosen, own_rows, strict=True)]))
        places, values = chosen.int().cpu().numpy(), [value.float().cpu().numpy() for value in values]
        return [_row(count, places[n], [value[n] for value in values]) for n, count in enumerate(counts)]


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
    high = pearson.nan_to_num_(-torch.inf).topk(min(HIGHEST, width))
    low = pearson.masked_fill_(pearson == -torch.inf, torch.inf).topk(min(LOWEST, width), largest=False)
    return torch.cat([high.indices, low.indices.flip(1)], 1), torch.cat([high.values, low.values.flip(1)], 1)


def _row(count: int, places, values) -> Correlates:
    """Those that exist: `count` correlations are known, and none is named at both ends."""
    highest = min(HIGHEST, count)
    lowest = min(LOWEST, count - highest)
    keep = np.zeros(len(places), bool)
    keep[:highest] = True
    keep[len(places) - lowest :] = values[0][len(places) - lowest :] < 0
    pearson, cosine, *decoder = (value[keep] for value in values)
    return Correlates(places[keep], pearson, cosine, decoder[0] if decoder else np.zeros(0, np.float32))
