"""How certain is a precision? 95 % intervals over rows: tokens of a row are not independent.

A bootstrap: rows drawn with replacement, as many as there are, 1,000 times (Efron 1979, percentiles). Where it can say
nothing - each activation in a row of its own, or all of them hits, or none - it is Wilson's interval (1927): of the
activations in the first case, of the rows that have any in the others.
"""

from functools import lru_cache

import numpy as np

from ..store.kept_entries import KeptEntries, KeptEntriesDamaged

DRAWS, AT_ONCE = 1000, 100
Z = 1.959963984540054  # the 97.5 % quantile of the normal distribution


def wilson(hits, trials) -> np.ndarray:
    """Lower and upper end of the 95 % interval of hits / trials. [n] each, trials above 0 -> [2, n]. Same as
    reference_questions.wilson: exact."""
    hits, trials = np.asarray(hits, np.float64), np.asarray(trials, np.float64)
    share, z2 = hits / trials, Z * Z
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    # Wilson (1927): the shares from which the one that was seen is Z standard errors away, both ways.
    half = Z / (1 + z2 / trials) * np.sqrt(share * (1 - share) / trials + z2 / (4 * trials * trials))
    return np.clip([centre - half, centre + half], 0, 1)


def draws(rows: int, seed: int, size: int = DRAWS) -> np.ndarray:
    """How often each row is drawn, the same for every feature and pattern. [size, rows] float32"""
    rng = np.random.default_rng([seed, rows])
    return np.stack([np.bincount(rng.integers(rows, size=rows), minlength=rows) for _ in range(size)]).astype("f4")


REMEMBERED = 1 << 23  # draws of a row, 32 MB, for the next question; of larger corpora they are made anew


@lru_cache(maxsize=2)
def _remembered(rows: int, seed: int) -> np.ndarray:
    return draws(rows, seed)


class PrecisionIntervals:
    """Of features with one pattern."""

    def __init__(self, kept: KeptEntries, held: np.ndarray, least: np.ndarray, width: int, seed: int = 0):
        """`held` [tokens] bool; `least` [d_sae] the smallest size that counts; `width` tokens of a row."""
        self.kept, self.held, self.least, self.width, self.seed = kept, held, least, width, seed
        self.rows = -(-len(held) // width)

    def of(self, features: np.ndarray) -> np.ndarray:
        """Lower and upper ends for active features. [n] -> [n, 2]. Same as reference_questions.precision_interval:
        exact."""
        if not len(features):
            return np.zeros((0, 2))
        # [rows, n] each: the bootstrap draws rows, so counts of rows are all it needs.
        hits, active = self._in_rows(features)
        ends = self._bootstrapped(hits, active)
        # Where no row has two activations, rows are no cluster: Wilson's interval of single tokens is as right.
        alone, with_any = active.max(0) <= 1, (active > 0).sum(0)  # [n]
        all_hits, all_active = hits.sum(0), active.sum(0)
        # All or nothing hit: every draw has the same share, which would make an interval of no width.
        same = (all_hits == 0) | (all_hits == all_active)
        ends[same] = wilson(with_any * (all_hits > 0), with_any).T[same]
        ends[alone] = wilson(all_hits, all_active).T[alone]
        return ends

    def _in_rows(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Hits and activations of each feature in each row. [rows, n] float32 twice, of whole numbers: exact"""
        from ..kernels.numba.token_sums import count_in_rows  # numba takes a second

        hits, active = np.zeros((2, len(features), self.rows), np.float32)
        for n, index in enumerate(features.tolist()):
            asked = self.least[index], self.held, self.width
            if not count_in_rows(*self.kept.feature_by_chunk(index), *asked, active[n], hits[n]):
                raise KeptEntriesDamaged(f"{self.kept.folder / 'feature_tokens'} names tokens that are not there.")
        return hits.T, active.T

    def _bootstrapped(self, hits: np.ndarray, active: np.ndarray) -> np.ndarray:
        few = self.rows * DRAWS <= REMEMBERED
        drawn = _remembered(self.rows, self.seed) if few else draws(self.rows, self.seed)
        shares = np.empty((len(drawn), hits.shape[1]))  # [draws, n]
        for first in range(0, len(drawn), AT_ONCE):
            part = slice(first, first + AT_ONCE)
            with np.errstate(invalid="ignore"):
                # NaN where none of a feature's rows is drawn: such a draw says nothing of it.
                shares[part] = (drawn[part] @ hits).astype(np.float64) / (drawn[part] @ active)
        return np.nanquantile(shares, (0.025, 0.975), axis=0).T
