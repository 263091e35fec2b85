"""What features' entries alone say of them: their figures, their examples, and which tokens are shown around them.

Some hundred features at a time, in array operations over all of them: what is asked of one is small, and the cost of
each call would come to more than its work. Examples are three panels: top activations (sae_vis), positions drawn from
all active ones, and positions drawn from each interval (Bricken et al., 2023).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..results import Activity, ExampleGroup, Examples, Histogram, Interval, ShownRows
from ..store.active_entries import FeatureEntries
from .activations import INTERVALS, SortedActivations
from .sampling import draw, keys_of
from .top_examples import TOP, TokenLayout, near_examples, top_examples

RANDOM = 20
PER_INTERVAL = 5


@dataclass(frozen=True)
class ChosenExamples:
    """Everything of a feature but the effects and what the weights say."""

    index: int
    activity: Activity
    examples: Examples
    rows: np.ndarray  # [r] shown rows, ascending
    offsets: np.ndarray  # [r + 1] where each row's entries begin
    positions: np.ndarray  # [e] int16
    values: np.ndarray  # [e]
    near: np.ndarray  # [e] bool, close enough to an example for its effects to be computed

    def with_effects(self, effects: np.ndarray) -> ShownRows:
        """What pages show of its rows. `effects` [e, 3] float32: loss, loss effect and logit effect at each value."""
        columns = np.ascontiguousarray(effects.T)  # [3, e]
        return ShownRows(self.rows, self.offsets, self.positions, self.values, *columns)


def choose_examples(block: list[FeatureEntries], layout: TokenLayout, seed: int) -> list[ChosenExamples]:
    """The same choice for a feature whatever else is computed beside it."""
    if not block:
        return []
    activations = SortedActivations.of(block)
    picked = _PickedPositions.of(activations, layout, seed)
    shown = _ShownRows.of(block, picked, layout)
    histograms, groups = activations.histograms(), picked.groups(layout)
    return [
        _of_feature(n, activations, histograms[n], next(groups), shown.of_feature(n, layout)) for n in range(len(block))
    ]


def _of_feature(
    n: int, activations: SortedActivations, histogram: Histogram | None, groups: list[ExampleGroup], shown: dict
) -> ChosenExamples:
    top, random, *in_intervals = groups
    # A dead feature has no intervals; the groups of examples in them are empty then.
    bounds = zip(activations.intervals(n), in_intervals, strict=False)
    intervals = tuple(Interval(*interval, group) for interval, group in bounds)
    activity = Activity(
        count=int(activations.counts[n]),
        maximum=float(activations.maxima[n]),
        mean=activations.mean(n),
        quantiles=activations.quantile_sketch(n),
        histogram=histogram,
    )
    return ChosenExamples(activations.indices[n], activity, Examples(top, random, intervals), **shown)


@dataclass(frozen=True)
class _PickedPositions:
    """The examples of n features, feature by feature: top ones, random ones, those of each interval."""

    feature: np.ndarray  # [p] number in the block
    tokens: np.ndarray  # [p] int64
    values: np.ndarray  # [p]
    copies: np.ndarray  # [p] int32
    sizes: np.ndarray  # [n, 2 + INTERVALS] of each group

    @classmethod
    def of(cls, activations: SortedActivations, layout: TokenLayout, seed: int) -> "_PickedPositions":
        top, copies = top_examples(activations, layout)
        count = len(top)
        keys = keys_of(seed, activations.indices)
        random, random_filled = draw(keys_of(keys), activations.counts, RANDOM)  # [n, RANDOM] each
        # An interval's activations lie together in the sorted order: from `above` its upper edge on.
        begins, sizes = activations.above[:, :-1], np.diff(activations.above, axis=1)  # [n, INTERVALS] each
        inside, inside_filled = draw(keys_of(keys[:, None], np.arange(INTERVALS)), sizes, PER_INTERVAL)
        inside += begins[:, :, None]  # [n, INTERVALS, PER_INTERVAL]
        # All groups side by side, as indices into a feature's sorted activations; `filled` says which slots exist.
        indices = np.concatenate([top, random, inside.reshape(count, -1)], 1)
        filled = np.concatenate([copies > 0, random_filled, inside_filled.reshape(count, -1)], 1)
        times = np.ones(indices.shape, np.int32)
        times[:, :TOP] = copies
        # A feature's activations begin at its offset; the mask flattens them, feature by feature, group by group.
        flat = (activations.offsets[:-1, None] + indices)[filled]  # [p]
        groups = [(copies > 0).sum(1)[:, None], random_filled.sum(1)[:, None], inside_filled.sum(2)]
        feature = np.repeat(np.arange(count), filled.sum(1))
        tokens = activations.tokens[flat].astype(np.int64)
        return cls(feature, tokens, activations.values[flat], times[filled], np.concatenate(groups, 1))

    def groups(self, layout: TokenLayout) -> Iterator[list[ExampleGroup]]:
        """Of each feature: top, random, those of each interval."""
        rows, positions = layout.rows_and_positions(self.tokens)
        columns = rows, positions.astype(np.int32), self.values, self.copies
        # Groups lie one behind the other: each ends at the running sum of sizes.
        ends = np.cumsum(self.sizes).reshape(self.sizes.shape)
        for begin, end in zip((ends - self.sizes).tolist(), ends.tolist(), strict=True):
            groups = map(slice, begin, end)
            yield [ExampleGroup(*(column[group] for column in columns)) for group in groups]


@dataclass(frozen=True)
class _ShownRows:
    """The rows that examples of n features stand in, and the features' entries there."""

    rows: np.ndarray  # [r] feature by feature, ascending
    bounds: list[int]  # [n + 1] where each feature's rows begin
    offsets: np.ndarray  # [r + 1] where each row's entries begin
    tokens: np.ndarray  # [e] int64
    values: np.ndarray  # [e]
    near: np.ndarray  # [e] bool

    @classmethod
    def of(cls, block: list[FeatureEntries], picked: _PickedPositions, layout: TokenLayout) -> "_ShownRows":
        # Tokens are numbered on from feature to feature, so that one sort or search does for all of them: feature n's
        # token t is n * size + t. Rows likewise.
        size = len(layout.rows) * layout.width
        examples = picked.feature * size + picked.tokens
        feature, rows = np.divmod(np.unique(examples // layout.width), len(layout.rows))  # [r] each
        bounds = np.searchsorted(feature, np.arange(len(block) + 1)).tolist()
        parts = [
            _entries_in_rows(entries, rows[begin:end], layout.width)
            for entries, begin, end in zip(block, bounds, bounds[1:], strict=False)
        ]
        sizes, tokens, values = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        near = near_examples(np.repeat(feature, sizes) * size + tokens, examples, layout)
        return cls(rows, bounds, offsets, tokens, values, near)

    def of_feature(self, n: int, layout: TokenLayout) -> dict:
        rows = slice(self.bounds[n], self.bounds[n + 1])
        offsets = self.offsets[rows.start : rows.stop + 1]
        entries = slice(int(offsets[0]), int(offsets[-1]))
        return {
            "rows": self.rows[rows],
            "offsets": offsets - offsets[0],
            "positions": (self.tokens[entries] % layout.width + layout.first).astype(np.int16),
            "values": self.values[entries],
            "near": self.near[entries],
        }


def _entries_in_rows(entries: FeatureEntries, rows: np.ndarray, width: int):
    """The feature's entries in some rows [r], as (how many in each [r], tokens [e], values [e])."""
    # First and last token of each row, not the end: the last row may end at 2**32, which uint32 cannot hold.
    first, last = (rows * width).astype(np.uint32), (rows * width + width - 1).astype(np.uint32)
    begins = np.searchsorted(entries.tokens, first)
    sizes = np.searchsorted(entries.tokens, last, side="right") - begins
    ends = np.cumsum(sizes)
    # The ranges begins..begins + sizes behind each other: a running number, shifted by each row's begin.
    index = np.repeat(begins - ends + sizes, sizes) + np.arange(ends[-1] if len(ends) else 0)
    return sizes, entries.tokens[index].astype(np.int64), entries.values[index]
