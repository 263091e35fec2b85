"""On which tokens does each feature fire, and which features fire together with it or next?

One sweep over the kept activations, a feature at a time: the tokens it fires on, those before and after, where in the
row and in which kind of document, both ways, by count and by size of the activation.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from ..ask.intervals import wilson
from ..corpus.token_rows import counted_mask
from ..store.kept_entries import KeptEntries, KeptEntriesDamaged
from ..training.record import LEAST_ACTIVE, ONLY

LEAST_MEETINGS = 5  # of two features that are listed with each other
TOKENS = 8  # of each ordering
PARTNERS = 10
BINS = 16  # of positions in a row
PLACES = {"before": -1, "at": 0, "after": 1}


@dataclass(frozen=True)
class TokenShares:
    """Tokens at one place beside the activations of a feature, most activations first. [n] each"""

    tokens: np.ndarray  # ids
    counts: np.ndarray  # activations with this token there: n(a, v)
    sizes: np.ndarray  # sum of their sizes
    occurrences: np.ndarray  # counted tokens that have it there, active or not: n(v)


@dataclass(frozen=True)
class MeetingPartners:
    """Features that are active together with one, or on the token behind, by the lower end of the smaller of both
    shares. [n] each"""

    features: np.ndarray
    meetings: np.ndarray  # n(a_i a_j)
    forward: np.ndarray  # P(j | i)
    back: np.ndarray  # P(i | j)
    lift: np.ndarray


@dataclass(frozen=True)
class TokenStatistics:
    """Of one feature. Entropies and shares "only" are NaN below LEAST_ACTIVE activations."""

    index: int
    count: int
    size: float  # sum of all sizes
    places: dict[str, TokenShares]  # by "before", "at", "after"
    entropy: float  # of the token it fires on, in bits
    weighted_entropy: float  # the same by size
    commonest: float  # share of its activations on their commonest token
    skew: float
    position: tuple[int, float]  # of the row at which most activations are, and their share
    by_position: np.ndarray  # [bins] share of the counted tokens there on which it fires
    by_kind: np.ndarray  # [kinds, 3]: share of its activations, of its sizes; share of the kind's tokens
    together: MeetingPartners
    next: MeetingPartners = field(repr=False)

    @property
    def is_on_one_token(self) -> bool:
        return self.commonest >= ONLY

    @property
    def is_at_one_position(self) -> bool:
        return self.position[1] >= ONLY


@dataclass(frozen=True)
class TokenText:
    """What stands on each token that activations are kept of, numbered as they are."""

    ids: np.ndarray  # [tokens] int32, -1 on those that are not counted
    width: int  # tokens of a row
    first: int  # position in its row of the first
    kinds: np.ndarray  # [tokens] int32 kind of document, -1 unknown
    kind_count: int

    @classmethod
    def of(
        cls, rows: np.ndarray, first: int, special, kinds: np.ndarray | None = None, kind_count: int = 0
    ) -> "TokenText":
        """rows [n, length] of ids; kinds [n, length - first] or None."""
        ids = np.asarray(rows[:, first:]).astype(np.int32)  # rows have no sign
        counted = counted_mask(ids, special)
        # -1 names no kind, and no bincount has a place for it.
        kinds = np.full(ids.shape, -1) if kinds is None else kinds
        return cls(np.where(counted, ids, -1).ravel(), ids.shape[1], first, kinds.astype(np.int32).ravel(), kind_count)

    def beside(self, by: int) -> np.ndarray:
        """The token that stands so many behind each counted one, in the same row; -1: none that counts. [tokens]
        Same as reference_analysis.beside: exact."""
        # Moved within rows: what would come from beyond the ends of a row stays -1.
        ids = self.ids.reshape(-1, self.width)
        moved = np.full_like(ids, -1)
        if by < 0:
            moved[:, -by:] = ids[:, :by]
        else:
            moved[:, : self.width - by] = ids[:, by:]
        moved[ids < 0] = -1
        return moved.ravel()


def token_statistics(
    kept: KeptEntries, text: TokenText, progress: Callable[[int, int], None] = lambda done, total: None
) -> Iterator[TokenStatistics | None]:
    """Of every feature in turn, None of dead ones. Same as the definitions in reference_analysis: counts exact, sums in
    float64. Raises KeptEntriesDamaged, and what `progress` raises."""
    sweep = Sweep(kept, text)
    for index in range(kept.d_sae):
        progress(index, kept.d_sae)
        yield sweep.feature(index) if kept.counts[index] else None


class Sweep:
    """What is the same for all features, and arrays to count in."""

    def __init__(self, kept: KeptEntries, text: TokenText):
        self.kept, self.text = kept, text
        vocabulary = int(text.ids.max(initial=0)) + 1
        self.tokens = max(1, int((text.ids >= 0).sum()))  # counted
        self.places = {name: text.beside(by) if by else text.ids for name, by in PLACES.items()}
        self.occurrences = {name: _counts(ids, vocabulary) for name, ids in self.places.items()}
        self.offsets, self.features = np.asarray(kept.token_offsets), np.asarray(kept.token_features)
        self.counts, self.sums = np.zeros(vocabulary, np.int64), np.zeros(vocabulary)
        self.met, self.seen = np.zeros((2, kept.d_sae), np.int32), np.empty(vocabulary, np.int32)
        if len(self.features) and self.features.max() >= kept.d_sae:
            raise KeptEntriesDamaged(f"{kept.folder / 'token_features'} names features beyond {kept.d_sae - 1:,}.")
        self.bins = min(BINS, text.width)
        position = np.arange(text.width) * self.bins // text.width  # [width] bin of each position
        self.bin_of = position
        counted = (text.ids >= 0).reshape(-1, text.width).sum(0)  # [width]
        self.in_bin = np.bincount(position, counted, self.bins)
        self.in_kind = _counts(np.where(text.ids >= 0, text.kinds, -1), text.kind_count)

    def feature(self, index: int) -> TokenStatistics:
        entries = self.kept.feature(index)
        sizes = np.abs(entries.values)
        n, size = len(sizes), float(sizes.sum(dtype=np.float64))
        places = {name: self._tokens(name, entries.tokens, sizes) for name in PLACES}
        shares, weighted, shown = places["at"][:3]
        often = n >= LEAST_ACTIVE
        at = np.bincount(entries.tokens % np.uint32(self.text.width), minlength=self.text.width)  # [width]
        # 0 / 0, NaN, for a bin of positions without a counted token.
        with np.errstate(divide="ignore", invalid="ignore"):
            by_position = np.bincount(self.bin_of, at, self.bins) / self.in_bin
        self._meet(index, entries.tokens)
        return TokenStatistics(
            index=index,
            count=n,
            size=size,
            places={name: place[2] for name, place in places.items()},
            entropy=entropy(shares) if often else np.nan,
            weighted_entropy=entropy(weighted) if often else np.nan,
            commonest=float(shown.counts.max() / n) if often and len(shown.counts) else np.nan,
            skew=skew(entries.values) if often else np.nan,
            position=(self.text.first + int(at.argmax()), float(at.max() / n) if often else np.nan),
            by_position=by_position,
            by_kind=self._by_kind(entries.tokens, sizes, n, size),
            together=self._partners(index, self.met[0]),
            next=self._partners(index, self.met[1]),
        )

    def _tokens(self, place: str, tokens, sizes) -> tuple[np.ndarray, np.ndarray, TokenShares]:
        """Counts and sizes of all tokens there, and those that are shown. Same as what reference_analysis.token_shares
        and reference_analysis.weighted_token_share divide: counts exact, sums of float32 sizes in float64."""
        from ..kernels.numba.token_counts import count_classes

        found = count_classes(self.places[place], tokens, sizes, self.counts, self.sums, self.seen)
        # Only what was met is read and set back to 0: the arrays are as long as the vocabulary.
        ids = np.sort(self.seen[:found])
        counts, sums, occurrences = self.counts[ids], self.sums[ids], self.occurrences[place][ids]
        self.counts[ids], self.sums[ids] = 0, 0
        # Of tokens with few activations, that it fires on all of them says little.
        some = np.flatnonzero(counts >= LEAST_MEETINGS)
        often = some[_highest(wilson(counts[some], occurrences[some])[0], TOKENS)]
        shown = np.unique(np.concatenate([_highest(counts, TOKENS), _highest(sums, TOKENS), often]))
        shown = shown[np.argsort(-counts[shown], kind="stable")]
        return counts, sums, TokenShares(ids[shown], counts[shown], sums[shown], occurrences[shown])

    def _by_kind(self, tokens, sizes, n: int, size: float) -> np.ndarray:
        from ..kernels.numba.token_counts import count_classes

        # A token whose kind nobody knows is in no sum.
        counts, sums = np.zeros(self.text.kind_count, np.int64), np.zeros(self.text.kind_count)
        count_classes(self.text.kinds, tokens, sizes, counts, sums, np.empty(self.text.kind_count, np.int32))
        return np.stack([counts / n, sums / size, counts / np.maximum(self.in_kind, 1)], 1)

    def _meet(self, index: int, tokens) -> None:
        """How often others are active on a feature's tokens, and on those behind."""
        from ..kernels.numba.token_counts import count_features

        self.met[:] = 0
        count_features(tokens, self.text.width, self.offsets, self.features, *self.met)
        self.met[0, index] = 0  # itself

    def _partners(self, index: int, met: np.ndarray) -> MeetingPartners:
        """`met` [d_sae]: how often each other one is met. Same as reference_analysis.co_activation, or
        reference_analysis.next_activation by tokens behind: exact counts, shares in float64."""
        others = np.flatnonzero(met >= LEAST_MEETINGS)
        meetings = met[others].astype(np.int64)
        forward, back = meetings / self.kept.counts[index], meetings / self.kept.counts[others]
        # The smaller of both shares, that of the more active one: a dense feature is met by all, and meets each of them
        # seldom.
        larger = np.maximum(self.kept.counts[index], self.kept.counts[others])
        best = _highest(wilson(meetings, larger)[0], PARTNERS)
        # P(j | i) / P(j): 1 where the one says nothing of the other.
        lift = forward / (self.kept.counts[others] / self.tokens)
        return MeetingPartners(others[best], meetings[best], forward[best], back[best], lift[best])


def entropy(weights: np.ndarray) -> float:
    """Of the shares of some weights, in bits. Same as reference_analysis.entropy: float64 rounding."""
    shares = weights[weights > 0] / weights.sum()
    return float(-(shares * np.log2(shares)).sum() + 0.0)  # of one token 0, not -0


def skew(values: np.ndarray) -> float:
    """Skewness; NaN where all are the same. Same as reference_analysis.skew: float64 rounding."""
    centred = values.astype(np.float64) - values.mean(dtype=np.float64)
    variance = (centred**2).mean()
    return float((centred**3).mean() / variance**1.5) if variance > 0 else np.nan


def _counts(classes: np.ndarray, size: int) -> np.ndarray:
    """How often each class from 0 on. [size]"""
    return np.bincount(classes[classes >= 0], minlength=size)


def _highest(keys: np.ndarray, most: int) -> np.ndarray:
    """Indices of the highest, of equal ones the first, in this order."""
    if len(keys) <= 4 * most:
        return np.argsort(-keys, kind="stable")[:most]
    # Most are lower than the last that is wanted, and need no order.
    least = np.partition(keys, len(keys) - most)[len(keys) - most]
    candidates = np.flatnonzero(keys >= least)
    return candidates[np.argsort(-keys[candidates], kind="stable")[:most]]
