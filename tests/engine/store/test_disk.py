"""Rows of a matrix on disk come back as they were written, also when the file has lost its name."""

import numpy as np

from features.engine.store.disk import MatrixFile


def test_rows_come_back_by_slice_and_by_number(tmp_path):
    rows = np.random.default_rng(0).random((9, 5))
    np.save(tmp_path / "rows.npy", rows)
    matrix = MatrixFile(tmp_path / "rows.npy")
    (tmp_path / "rows.npy").unlink()
    assert matrix.shape == (9, 5)
    np.testing.assert_array_equal(matrix[2:4], rows[2:4])
    np.testing.assert_array_equal(matrix[np.array([8, 0, 0, 3])], rows[[8, 0, 0, 3]])


def test_what_is_read_stays_as_it_was_read(tmp_path):
    """It is a copy: not mapped memory that the file's next writer changes."""
    np.save(tmp_path / "rows.npy", np.zeros((3, 2)))
    read = MatrixFile(tmp_path / "rows.npy")[:]
    np.lib.format.open_memmap(tmp_path / "rows.npy", "r+")[:] = 1
    np.testing.assert_array_equal(read, 0)
