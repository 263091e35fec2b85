"""What is done with lists of entries: sorting them, weighing rows by them, multiplying them."""

import warnings

import torch
from torch import Tensor


def order_of(keys: Tensor, below: int) -> Tensor:
    """Places of the keys in ascending order, equal ones as they came. [n] int64

    Keys `below` 2**16 are sorted by counting, which takes no comparison.
    """
    if keys.is_cuda or below > 1 << 16:
        return keys.argsort(stable=True)
    return torch.from_numpy(keys.numpy().astype("uint16").argsort(kind="stable"))


def places_of(mask: Tensor) -> Tensor:
    """Flat places of what is true. [n] int64"""
    flat = mask.view(-1)
    if flat.device.type == "cpu":
        return torch.from_numpy(flat.numpy().nonzero()[0])  # four times as fast
    return flat.nonzero().squeeze(1)


def starts_of(keys: Tensor, count: int) -> Tensor:
    """Where each of the keys 0 to `count` begins among ascending ones. [count + 1] int64"""
    return torch.searchsorted(keys, torch.arange(count + 1, device=keys.device))


def weighted_sums(rows: Tensor, starts: Tensor, places: Tensor, weights: Tensor) -> Tensor:
    """Sum of weights[e] * rows[places[e]] over the entries e from starts[i] to starts[i + 1], for each i. [m, width]"""
    return torch.nn.functional.embedding_bag(
        places, rows, starts, mode="sum", per_sample_weights=weights, include_last_offset=True
    )


def matrix(starts: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    """A sparse matrix from entries sorted by row, row i's from starts[i] on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # CSR is called beta; its products are checked by the tests
        return torch.sparse_csr_tensor(starts, columns, values, shape, check_invariants=False)
