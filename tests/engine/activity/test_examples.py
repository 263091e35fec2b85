"""Features chosen together are chosen as alone, and top examples found at once are those found one by one."""

import numpy as np
import pytest
import torch

from features.engine import reference_examples
from features.engine.activity import top_examples
from features.engine.activity.activations import SortedActivations
from features.engine.activity.examples import choose_examples
from features.engine.activity.top_examples import TOP, TokenLayout
from features.engine.store.active_entries import FeatureEntries

SEED = 5


KINDS = {"repeated text": (2, 40), "text that nearly repeats": (2, 40), "text that hardly repeats": (5000, 40)}
KINDS |= {"long text": (5000, 1500)}


@pytest.fixture(params=KINDS)
def layout(request):
    vocabulary, rows = KINDS[request.param]
    rng = np.random.default_rng(0)
    ids = rng.integers(vocabulary, size=(rows, 33))
    if "nearly" in request.param:
        ids = np.where(rng.random(ids.shape) < 0.15, rng.integers(2, 9, ids.shape), np.arange(33) % 7)
    return TokenLayout(ids, 1)


@pytest.fixture
def block(layout):
    rng = np.random.default_rng(1)
    sizes = [0, 1, 19, 20, 21, 400, 60, 0, 1280]
    return [
        FeatureEntries(
            3 * n,
            np.sort(rng.choice(layout.rows[:, 1:].size, size, replace=False)).astype(np.uint32),
            np.round(rng.standard_normal(size), 2).astype(np.float32) + np.float32(0.001),  # some are equal
        )
        for n, size in enumerate(sizes)
    ] + [FeatureEntries(99, np.arange(2, dtype=np.uint32), np.float32([0.10490011423826218, 0.09441009908914566]))]


def _by_reference(entries, layout):
    """[(token, how often its text came up)]"""
    f_i = torch.zeros(len(layout.rows) * layout.width)
    f_i[entries.tokens.astype(np.int64)] = torch.from_numpy(entries.values)
    rows, positions = layout.rows_and_positions(np.arange(len(f_i)))
    return reference_examples.top_activations(f_i, rows, positions, torch.from_numpy(layout.rows))


def test_top_examples_are_those_of_going_through_all_one_by_one(block, layout):
    activations = SortedActivations.of(block)
    indices, copies = top_examples.top_examples(activations, layout)
    for n, entries in enumerate(block):
        at = activations.offsets[n] + indices[n][copies[n] > 0]
        found = list(zip(activations.tokens[at].tolist(), copies[n][copies[n] > 0].tolist(), strict=True))
        assert found == _by_reference(entries, layout)


def test_most_top_examples_of_a_long_text_are_found_at_once(block, layout, monkeypatch):
    gone_through, one_by_one = [], top_examples.top_one_by_one
    monkeypatch.setattr(
        top_examples, "top_one_by_one", lambda tokens, layout: gone_through.append(0) or one_by_one(tokens, layout)
    )
    top_examples.top_examples(SortedActivations.of(block), layout)
    few = sum(len(entries.tokens) < TOP for entries in block)
    assert few <= len(gone_through) <= len(block)
    assert (len(gone_through) < len(block)) == (len(layout.rows) > 40)


def test_a_feature_is_chosen_alone_as_it_is_beside_others(block, layout):
    for together, entries in zip(choose_examples(block, layout, SEED), block, strict=True):
        (alone,) = choose_examples([entries], layout, SEED)
        activity, beside = alone.activity, together.activity
        assert alone.index == together.index
        for name in ("count", "maximum", "mean"):
            assert getattr(activity, name) == getattr(beside, name)
        for name in ("rows", "offsets", "positions", "values", "near"):
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


def test_shown_entries_are_all_of_the_examples_rows_and_near_ones_lie_eleven_tokens_before_to_ten_after(block, layout):
    for one, entries in zip(choose_examples(block, layout, SEED), block, strict=True):
        examples = {(r, p) for group in one.examples.groups for r, p in zip(group.rows, group.positions, strict=True)}
        rows, positions = layout.rows_and_positions(entries.tokens)
        expected = [
            (row, position, value, any(row == r and -11 <= position - p <= 10 for r, p in examples))
            for row, position, value in zip(rows, positions, entries.values, strict=True)
            if any(row == r for r, _ in examples)
        ]
        shown = np.repeat(one.rows, np.diff(one.offsets)), one.positions, one.values, one.near
        assert list(zip(*shown, strict=True)) == expected


def test_the_last_token_that_can_be_numbered_is_shown():
    width = 1024
    rows = np.broadcast_to(np.arange(width + 1), (2**32 // width, width + 1))
    (one,) = choose_examples(
        [FeatureEntries(0, np.array([5, 2**32 - 1], np.uint32), np.float32([1, 2]))], TokenLayout(rows, 1), SEED
    )
    assert one.rows.tolist() == [0, 2**32 // width - 1]
    assert one.positions.tolist() == [6, width]
