"""Features chosen together are chosen as alone, and top examples found at once are those found one by one."""

import numpy as np
import pytest
import torch

from features.engine import reference
from features.engine.activity import top_examples
from features.engine.activity.activations import Ordered
from features.engine.activity.examples import choose
from features.engine.activity.top_examples import TOP, TokenLayout, tops
from features.engine.store.active_entries import FeatureEntries

SEED = 5


KINDS = {"repeated text": (2, 40), "text that hardly repeats": (5000, 40), "long text": (5000, 1500)}


@pytest.fixture(params=KINDS)
def grid(request):
    vocabulary, rows = KINDS[request.param]
    return TokenLayout(np.random.default_rng(0).integers(vocabulary, size=(rows, 33)), 1)


@pytest.fixture
def block(grid):
    rng = np.random.default_rng(1)
    sizes = [0, 1, 19, 20, 21, 400, 60, 0, 1280]
    return [
        FeatureEntries(
            3 * n,
            np.sort(rng.choice(grid.rows[:, 1:].size, size, replace=False)).astype(np.uint32),
            np.round(rng.standard_normal(size), 2).astype(np.float32) + np.float32(0.001),  # some are equal
        )
        for n, size in enumerate(sizes)
    ] + [FeatureEntries(99, np.arange(2, dtype=np.uint32), np.float32([0.10490011423826218, 0.09441009908914566]))]


def _by_reference(entries, grid):
    """[(token, how often its text came up)]"""
    f_i = torch.zeros(len(grid.rows) * grid.width)
    f_i[entries.tokens.astype(np.int64)] = torch.from_numpy(entries.values)
    rows, positions = grid.places(np.arange(len(f_i)))
    return reference.top_activations(f_i, rows, positions, torch.from_numpy(grid.rows))


def test_top_examples_are_those_of_going_through_all_one_by_one(block, grid):
    ordered = Ordered.of(block)
    places, copies = tops(ordered, grid)
    for n, entries in enumerate(block):
        at = ordered.starts[n] + places[n][copies[n] > 0]
        found = list(zip(ordered.tokens[at].tolist(), copies[n][copies[n] > 0].tolist(), strict=True))
        assert found == _by_reference(entries, grid)


def test_most_top_examples_of_a_long_text_are_found_at_once(block, grid, monkeypatch):
    gone_through, one_by_one = [], top_examples.top_places
    monkeypatch.setattr(
        top_examples, "top_places", lambda tokens, grid: gone_through.append(0) or one_by_one(tokens, grid)
    )
    tops(Ordered.of(block), grid)
    few = sum(len(entries.tokens) < TOP for entries in block)
    assert few <= len(gone_through) <= len(block)
    assert (len(gone_through) < len(block)) == (len(grid.rows) > 40)


def test_a_feature_is_chosen_alone_as_it_is_beside_others(block, grid):
    for together, entries in zip(choose(block, grid, SEED), block, strict=True):
        (alone,) = choose([entries], grid, SEED)
        activity, beside = alone.activity, together.activity
        assert alone.index == together.index
        for name in ("count", "maximum", "mean"):
            assert getattr(activity, name) == getattr(beside, name)
        for name in ("rows", "starts", "positions", "values", "near"):
            np.testing.assert_array_equal(getattr(alone, name), getattr(together, name))
        np.testing.assert_array_equal(activity.quantiles, beside.quantiles)
        assert (activity.histogram is None) == (beside.histogram is None) == (not len(entries.tokens))
        if activity.histogram:
            np.testing.assert_array_equal(activity.histogram.edges, beside.histogram.edges)
            np.testing.assert_array_equal(activity.histogram.counts, beside.histogram.counts)
        for own, other in zip(alone.examples.intervals, together.examples.intervals, strict=True):
            assert (own.low, own.high, own.count) == (other.low, other.high, other.count)
        for own, other in zip(alone.examples.groups, together.examples.groups, strict=True):
            for name in ("rows", "positions", "activations", "copies"):
                np.testing.assert_array_equal(getattr(own, name), getattr(other, name))


def test_shown_entries_are_all_of_the_examples_rows_and_near_ones_are_ten_tokens_away_at_most(block, grid):
    for one, entries in zip(choose(block, grid, SEED), block, strict=True):
        examples = {(r, p) for group in one.examples.groups for r, p in zip(group.rows, group.positions, strict=True)}
        rows, positions = grid.places(entries.tokens)
        expected = [
            (row, position, value, any(row == r and abs(position - p) <= 10 for r, p in examples))
            for row, position, value in zip(rows, positions, entries.values, strict=True)
            if any(row == r for r, _ in examples)
        ]
        shown = np.repeat(one.rows, np.diff(one.starts)), one.positions, one.values, one.near
        assert list(zip(*shown, strict=True)) == expected


def test_the_last_token_that_can_be_numbered_is_shown():
    width = 1024
    rows = np.broadcast_to(np.arange(width + 1), (2**32 // width, width + 1))
    (one,) = choose(
        [FeatureEntries(0, np.array([5, 2**32 - 1], np.uint32), np.float32([1, 2]))], TokenLayout(rows, 1), SEED
    )
    assert one.rows.tolist() == [0, 2**32 // width - 1]
    assert one.positions.tolist() == [6, width]
