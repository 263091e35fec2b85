"""Which neurons and features go with a feature? Pearson correlations and cosines from sums of products.

Panels: "correlated neurons", "correlated features" and "correlated B features" of sae_vis, over all counted tokens.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..kernels.numba.topk import extreme_correlations
from ..kernels.parallel import parallel_map
from ..results import HIGHEST_CORRELATES, LOWEST_CORRELATES, Correlates, no_correlates
from ..store.active_entries import ActiveEntries, Chunk
from ..store.pair_products import PairProducts
from ..store.sums import CorpusSums
from ..weights.decoder_neighbours import SHORTEST, DecoderRows

COSINE_BYTES = 2 << 20  # of decoder rows that are compared at a time


@dataclass(frozen=True)
class Moments:
    """Sums over tokens of each feature's activation and of its square, in float64."""

    f: np.ndarray  # [d_sae]
    ff: np.ndarray  # [d_sae]

    @classmethod
    def of(cls, entries: ActiveEntries) -> "Moments":
        f, ff = np.zeros(entries.d_sae), np.zeros(entries.d_sae)
        # Chunks are added up in corpus order, however many threads compute them: the sums are the same to the last bit.
        with parallel_map(torch.device("cpu")) as run:
            for chunk_f, chunk_ff in run(partial(_moments, chunk) for chunk in entries.chunks()):
                f += chunk_f
                ff += chunk_ff
        return cls(f, ff)

    def save(self, folder: Path) -> None:
        np.savez(folder / "moments.npz", f=self.f, ff=self.ff)

    @classmethod
    def load(cls, folder: Path) -> "Moments":
        with np.load(folder / "moments.npz") as arrays:
            return cls(arrays["f"], arrays["ff"])


def _moments(chunk: Chunk) -> tuple[np.ndarray, np.ndarray]:
    features, values = np.repeat(np.arange(len(chunk.counts)), chunk.counts), chunk.values.astype(np.float64)
    f = np.bincount(features, values, minlength=len(chunk.counts))
    return f, np.bincount(features, np.square(values, out=values), minlength=len(chunk.counts))


@dataclass(frozen=True)
class EncoderB:
    """A second SAE on the same hook point, and its products with the first."""

    pairs: PairProducts
    moments: Moments
    decoder: Tensor  # [d_sae of B, d_in]


class Correlations:
    """Pearson correlations and cosines of chosen features with neurons, with all features, and with those of B.

    Same as reference.pearson, reference.cosine, reference.correlates and reference.decoder_cosine: float32 rounding.
    Products are added up in float32 within a chunk and in float64 from chunk to chunk; decoder cosines are float32.
    """

    def __init__(
        self, sums: CorpusSums, moments: Moments, pairs: PairProducts, decoder: Tensor, encoder_b: EncoderB | None
    ):
        """`decoder` [d_sae, d_in] for the cosine of decoder rows."""
        self.sums, self.moments, self.pairs, self.encoder_b = sums, moments, pairs, encoder_b
        self.decoder = DecoderRows(decoder)
        self._neurons = Partners.of(sums.h, sums.hh, sums.tokens)
        self._features = Partners.of(moments.f, moments.ff, sums.tokens, pairs.right.order, decoder)
        self._columns = np.argsort(pairs.right.order)  # the column of each feature among the products, [d_sae]
        if encoder_b is not None:
            b, order = encoder_b.moments, encoder_b.pairs.right.order
            self._features_b = Partners.of(b.f, b.ff, sums.tokens, order, encoder_b.decoder)

    def neurons(self, features: np.ndarray) -> list[Correlates]:
        """Of each of `features` [n] with the entries of the hook point."""
        return self._correlates(features, self._neurons, self.sums.fh.__getitem__)

    def features(self, features: np.ndarray) -> list[Correlates]:
        """Of each of `features` [n] with every other feature."""
        return self._correlates(features, self._features, self.pairs.rows, self._columns)

    def features_b(self, features: np.ndarray) -> list[Correlates]:
        """Of each of `features` [n] with every feature of B; empty ones without B."""
        if self.encoder_b is None:
            return [no_correlates()] * len(features)
        return self._correlates(features, self._features_b, self.encoder_b.pairs.rows)

    def _correlates(
        self, features: np.ndarray, partners: "Partners", products_of: Callable, columns=None
    ) -> list[Correlates]:
        """From `products_of(features)` [n, m] with `partners`, among which each feature is in its column of `columns`,
        where it is among them."""
        products = products_of(features)
        f, ff = self.moments.f[features], self.moments.ff[features]
        scales = inverse_spread(f, ff, self.sums.tokens)
        excluded = np.full(len(features), -1) if columns is None else columns[features]
        pearson, chosen = _extremes(products, f, scales, partners, self.sums.tokens, excluded)  # [n, 10] each
        # Cosine of the uncentred activations; 0 / 0 in columns that stand for no correlate, which are dropped below.
        with np.errstate(divide="ignore", invalid="ignore"):
            cosine = np.take_along_axis(products, chosen, 1) / np.sqrt(ff[:, None] * partners.squares[chosen])
        indices, figures = partners.indices[chosen], [pearson, cosine]
        if partners.decoder is not None:
            figures.append(self._decoder_cosines(features, indices, partners.decoder))
        # What does not vary has no correlation: neither a feature of scale 0 nor such a partner.
        known = int((partners.scales > 0).sum()) - (columns is not None)
        counts = np.where(scales > 0, known, 0)
        indices, figures = indices.astype(np.int32), [figure.astype(np.float32) for figure in figures]
        return [_existing(count, indices[n], [figure[n] for figure in figures]) for n, count in enumerate(counts)]

    def _decoder_cosines(self, features: np.ndarray, partners: np.ndarray, decoder: Tensor) -> np.ndarray:
        """Of each feature's decoder row with those of its partners [n, k] in `decoder`. [n, k]"""
        features, partners = (torch.from_numpy(array).to(decoder.device) for array in (features, partners))
        step = max(1, COSINE_BYTES // (4 * partners.shape[1] * decoder.shape[1])) if partners.numel() else 1
        parts = zip(partners.split(step), self.decoder.unit(features).split(step), strict=True)
        return torch.cat([_cosines(decoder[indices], unit) for indices, unit in parts]).cpu().numpy()


@dataclass(frozen=True)
class Partners:
    """What features are correlated with, m of them, in the order of the products' columns."""

    sums: np.ndarray  # [m] over tokens
    squares: np.ndarray  # [m]
    scales: np.ndarray  # [m], see inverse_spread
    indices: np.ndarray  # [m] which neuron or feature each column is
    decoder: Tensor | None  # [m, d_in] rows of the decoder, where they are features

    @classmethod
    def of(cls, sums: np.ndarray, squares: np.ndarray, tokens: int, order=None, decoder=None) -> "Partners":
        order = np.arange(len(sums)) if order is None else order
        sums, squares = sums[order], squares[order]
        return cls(sums, squares, inverse_spread(sums, squares, tokens), order, decoder)


def _cosines(rows: Tensor, unit: Tensor) -> Tensor:
    """Of each row of unit [n, width], of length one, with k others of rows [n, k, width]. [n, k]"""
    lengths = rows.norm(dim=2).clamp_min_(SHORTEST)
    return torch.bmm(rows, unit[:, :, None]).squeeze(2).div_(lengths)


def inverse_spread(x: np.ndarray, xx: np.ndarray, tokens: int) -> np.ndarray:
    """1 / (tokens * standard deviation), from sums of a value and of its square over `tokens`; 0 where it does not
    vary. [n], [n] -> [n]"""
    spread = tokens * xx - np.square(x)  # (tokens * standard deviation)**2
    return np.divide(
        1, np.sqrt(spread, where=spread > 0, out=np.ones_like(spread)), where=spread > 0, out=np.zeros_like(spread)
    )


def _extremes(products, sums, scales, partners: Partners, tokens: int, excluded) -> tuple[np.ndarray, np.ndarray]:
    """Pearson correlations of the highest, then the lowest of each row, the lowest last, and their columns.
    [n, HIGHEST_CORRELATES + LOWEST_CORRELATES] each; where there are fewer, infinite ones stand for none"""
    high, low = (np.full((len(sums), count), -np.inf) for count in (HIGHEST_CORRELATES, LOWEST_CORRELATES))
    high_columns, low_columns = (np.zeros(values.shape, np.int64) for values in (high, low))
    extreme_correlations(
        products, sums, scales, partners.sums, partners.scales, tokens, excluded,
        high, high_columns, low, low_columns,
    )  # fmt: skip
    # The lowest come negated, the lowest first.
    return np.concatenate([high, -low[:, ::-1]], 1), np.concatenate([high_columns, low_columns[:, ::-1]], 1)


def _existing(count: int, indices: np.ndarray, figures: list[np.ndarray]) -> Correlates:
    """Those that exist: `count` correlations are known, and none is named at both ends."""
    highest = min(HIGHEST_CORRELATES, count)
    lowest = min(LOWEST_CORRELATES, count - highest)
    keep = np.zeros(len(indices), bool)
    keep[:highest] = True
    # Of the low end only what is negative: the lowest of many positive correlations says nothing.
    keep[len(indices) - lowest :] = figures[0][len(indices) - lowest :] < 0
    pearson, cosine, *decoder = (figure[keep] for figure in figures)
    return Correlates(indices[keep], pearson, cosine, decoder[0] if decoder else np.zeros(0, np.float32))
