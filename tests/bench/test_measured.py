"""Benchmarks tell the memory of what they measure, not that of who measures."""

import sys

import numpy as np

from . import measured


def test_a_command_is_not_told_the_memory_of_the_process_that_measures_it():
    ours = np.ones(300 << 17)  # 300 MiB, written to
    few, many = (
        measured.run([sys.executable, "-I", "-S", "-c", f"b'x' * ({size} << 20)"]).peak_bytes >> 20 for size in (1, 200)
    )
    assert ours.nbytes >> 20 == 300 and few < 100 < 200 < many < 300


def test_how_a_command_ended_is_told():
    assert measured.run([sys.executable, "-c", "raise SystemExit(3)"]).code == 3
