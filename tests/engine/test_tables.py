"""Histograms of many rows at once are those of one at a time; large matrices come back from the disk as they were."""

import numpy as np
import pytest
import torch

from features.engine import logits, row_store
from features.engine.collect import collect
from features.engine.row_store import RowStore
from features.engine.statistics import equal_edges, histogram
from features.engine.tables import histograms


def _rows():
    g = torch.Generator().manual_seed(0)
    grid = torch.linspace(-1, 1, 51).repeat(8)  # every value on an edge
    return [torch.randn(408, generator=g), 1e-6 * torch.randn(408, generator=g), grid, torch.full((408,), 0.3),
            torch.randn(408, generator=g).exp() ** 4]  # fmt: skip


def test_a_value_is_counted_where_the_edges_say():
    rows = torch.stack(_rows())
    edges, counts = histograms(rows, *rows.aminmax(dim=1))
    for n, row in enumerate(np.sort(rows.numpy(), axis=1)):
        alone = histogram(row, equal_edges(row[0], row[-1]))
        np.testing.assert_array_equal(edges[n], alone.edges)
        np.testing.assert_array_equal(counts[n], alone.counts)


def test_rows_come_back_from_memory_and_from_disk(monkeypatch):
    rows, wanted = torch.randn(9, 5), torch.tensor([8, 0, 0, 3])
    for most in (0, 1 << 20):
        monkeypatch.setattr(row_store, "MEMORY_BYTES", most)
        store = RowStore(9, 5, torch.device("cpu"))
        store.put(4, rows[4:])
        store.put(0, rows[:4])
        assert (store._file is None) == (most > 0)
        assert torch.equal(store.take(wanted), rows[wanted])


def test_a_full_disk_is_an_error_that_names_both_sizes_and_the_way_out(monkeypatch):
    monkeypatch.setattr(row_store, "MEMORY_BYTES", 0)
    store = RowStore(9, 5, torch.device("cpu"))
    monkeypatch.setattr("os.pwrite", lambda file, data, at: 8)
    with pytest.raises(OSError, match="8 of a row's 20 bytes .* TMPDIR"):
        store.put(0, torch.randn(4, 5))


@pytest.mark.parametrize("most", [0, 1 << 20])
def test_logit_effects_of_many_features_are_those_of_each(most, monkeypatch):
    monkeypatch.setattr(row_store, "MEMORY_BYTES", most)
    monkeypatch.setattr(logits, "ROWS", 7)
    head, directions = logits.Head.fold(torch.randn(6, 50)), torch.randn(40, 6)
    stored = logits.Directions.of(head, directions).effects.take(torch.arange(40))
    torch.testing.assert_close(stored, head.unscaled(head.centre(directions)))


def test_loss_effects_do_not_depend_on_where_the_logit_effects_are_kept(subject, rows, monkeypatch):
    monkeypatch.setattr(row_store, "MEMORY_BYTES", 0)
    on_disk = list(collect(subject, rows, tokens=400).features())
    monkeypatch.undo()
    for one, other in zip(collect(subject, rows, tokens=400).features(), on_disk, strict=True):
        np.testing.assert_array_equal(one.shown.loss_effects, other.shown.loss_effects)
        np.testing.assert_array_equal(one.logit_histogram.counts, other.logit_histogram.counts)
