"""The compiled loops over long rows find what sorting, counting and multiplying whole rows would."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from features.engine import reference
from features.engine.kernels import numba
from features.engine.kernels.numba.cooccurrence import add_cooccurrences
from features.engine.kernels.numba.topk import BLOCK, extreme_correlations, row_extremes

WIDTHS = [5, BLOCK, 40 * BLOCK + 3]


def _none(rows, count, kind=np.float64):
    return np.full((len(rows), count), -np.inf, kind), np.zeros((len(rows), count), np.int64)


def _rows(width):
    rng = np.random.default_rng(width)
    spread = rng.normal(size=(4, width))
    crowded = np.stack([np.arange(width), -np.arange(width)])  # all of the largest are in one block, or in the tail
    return np.concatenate([spread, crowded, np.zeros((1, width)), np.full((1, width), -7)]).astype(np.float32)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_highest_and_lowest_are_the_ends_of_a_sorted_row(width):
    rows = _rows(width)
    (high, high_at), (low, low_at) = _none(rows, 5, np.float32), _none(rows, 3, np.float32)
    filled = np.concatenate([rows, np.full((len(rows), 3), np.nan, np.float32)], 1)  # what fills rows up says nothing
    row_extremes(filled, width, high, high_at, low, low_at)
    ascending = np.sort(rows, axis=1)
    np.testing.assert_array_equal(high, ascending[:, ::-1][:, :5])
    np.testing.assert_array_equal(-low, ascending[:, :3])
    for found, at in ((high, high_at), (-low, low_at)):
        np.testing.assert_array_equal(np.take_along_axis(rows, at, 1), found)
        assert all(len(set(row)) == len(row) for row in at.tolist())


def _correlated(width, tokens=50):
    """Values of 6 features and of `width` others, some of which do not vary, and which of the others are the 6."""
    rng = np.random.default_rng(width)
    others = rng.normal(size=(tokens, width)) * (rng.random((tokens, width)) < 0.3)
    others[:, 1] = 0
    others[:, 3] = 2
    own = rng.permutation(width)[:6] if width > 6 else np.arange(width)
    return others[:, own], others, own


@pytest.mark.parametrize("width", WIDTHS)
def test_extreme_correlations_are_those_of_all_pairs(width):
    x, y, own = _correlated(width)
    every = reference.pearson(torch.from_numpy(x), torch.from_numpy(y)).numpy()
    every[np.arange(len(own)), own] = np.nan
    scales = [_inverse(each) for each in (x, y)]
    (high, high_at), (low, low_at) = _none(x.T, 7), _none(x.T, 3)
    extreme_correlations(
        x.T @ y, x.sum(0), scales[0], y.sum(0), scales[1], len(x), own, high, high_at, low, low_at
    )  # fmt: skip
    for n, row in enumerate(every):
        if scales[0][n] == 0:
            continue
        known = np.sort(row[np.isfinite(row)])
        np.testing.assert_allclose(high[n][: len(known)], known[::-1][:7], atol=1e-12)
        np.testing.assert_allclose(-low[n][: len(known)], known[:3], atol=1e-12)
        np.testing.assert_allclose(row[high_at[n]][: len(known)], high[n][: len(known)], atol=1e-12)
        np.testing.assert_allclose(row[low_at[n]][: len(known)], -low[n][: len(known)], atol=1e-12)
        assert np.isneginf(high[n][len(known) :]).all() and np.isneginf(low[n][len(known) :]).all()


def _inverse(values):
    spread = len(values) ** 2 * values.var(0)
    return np.divide(1, np.sqrt(spread), where=values.var(0) > 0, out=np.zeros(values.shape[1]))


def test_cooccurrences_add_up_to_a_product_with_dense_rows():
    rng = np.random.default_rng(0)
    dense = rng.random((30, 9)).astype(np.float32) * (rng.random((30, 9)) < 0.4)
    tokens, columns = dense.nonzero()
    offsets = np.searchsorted(tokens, np.arange(31))
    active, values, products = np.array([0, 7, 8, 29]), rng.random(4).astype(np.float32), np.ones(9)
    add_cooccurrences(active, values, offsets, columns.astype(np.int32), dense[tokens, columns], products)
    np.testing.assert_allclose(products, 1 + values.astype(float) @ dense[active].astype(float))


def test_a_compiled_file_calls_nothing_of_another():
    """It would go on with what the other once was: only its own file tells whether its cache still holds."""
    files = list(Path(numba.__file__).parent.glob("*.py"))
    assert len(files) > 3
    assert not [path.name for path in files if re.search(r"^\s*(from|import) (\.|features)", path.read_text(), re.M)]
