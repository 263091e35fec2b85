"""How are lists of active entries sorted, gathered and multiplied? In compressed sparse rows (CSR).

An offsets array [m + 1] (CSR's indptr) says where each row's entries begin: row i's are offsets[i] to offsets[i + 1].
"""

import warnings

import torch
from torch import Tensor

RADIX_LIMIT = 1 << 16  # keys below it fit uint16, for which numpy's stable sort is a radix sort


def stable_argsort(keys: Tensor, below: int) -> Tensor:
    """Indices of the keys in ascending order, equal ones as they came. keys [n] int64, all < `below` -> [n] int64"""
    if keys.is_cuda or below > RADIX_LIMIT:
        return keys.argsort(stable=True)
    # A radix sort of two bytes takes two sweeps and no comparison.
    return torch.from_numpy(keys.numpy().astype("uint16").argsort(kind="stable"))


def flat_nonzero(mask: Tensor) -> Tensor:
    """Flat indices of the true elements, ascending. [n] int64"""
    flat = mask.view(-1)
    if flat.device.type == "cpu":
        return torch.from_numpy(flat.numpy().nonzero()[0])  # four times as fast as torch's
    return flat.nonzero().squeeze(1)


def csr_offsets(sorted_rows: Tensor, count: int) -> Tensor:
    """Offsets of the rows 0 to `count` among ascending row numbers: CSR's indptr. [n] -> [count + 1] int64"""
    return torch.searchsorted(sorted_rows, torch.arange(count + 1, device=sorted_rows.device))


def weighted_row_sums(table: Tensor, offsets: Tensor, indices: Tensor, weights: Tensor) -> Tensor:
    """Sum of weights[e] * table[indices[e]] over the entries e of each of m rows: a sparse times a dense matrix.

    table [k, width], offsets [m + 1], indices and weights [n] -> [m, width]
    """
    # embedding_bag reads rows of the table where they lie: nothing of [n, width] is ever made.
    return torch.nn.functional.embedding_bag(
        indices, table, offsets, mode="sum", per_sample_weights=weights, include_last_offset=True
    )


def csr_matrix(offsets: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    """A sparse matrix from entries sorted by row. offsets [shape[0] + 1], columns and values [n]"""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # CSR is called beta; its products are checked by the tests
        return torch.sparse_csr_tensor(offsets, columns, values, shape, check_invariants=False)
