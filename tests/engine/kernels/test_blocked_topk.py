"""The few largest of long rows are those that sorting the rows would give."""

import pytest
import torch

from features.engine.kernels.blocked_topk import GROUP, blocked_topk

WIDTHS = [5, GROUP, 40 * GROUP, 40 * GROUP + 3]


def _rows(width):
    g = torch.Generator().manual_seed(width)
    spread = torch.randn(4, width, generator=g)
    crowded = torch.arange(width).float().flip(0).repeat(2, 1)  # all of the largest are in one group, or in the tail
    crowded[1] = crowded[1].flip(0)
    infinite = torch.randn(2, width, generator=g).masked_fill(torch.rand(2, width, generator=g) < 0.9, -torch.inf)
    return torch.cat([spread, crowded, infinite, torch.zeros(1, width)])


@pytest.mark.parametrize("width", WIDTHS)
def test_the_few_are_those_of_a_sorted_row(width):
    rows = _rows(width)
    values, indices = blocked_topk(rows, 5)
    assert torch.equal(values, rows.sort(1, descending=True).values[:, :5])
    assert torch.equal(rows.gather(1, indices), values)
    assert all(len(set(row)) == 5 for row in indices.tolist())
