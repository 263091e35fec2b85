"""How are the cores used? One thread each with its own part of the batch, and freed memory is kept.

Two threads inside each operation wait for each other thousands of times a second, which is ruinous as soon as
anything else runs; whole gradients of half a batch are waited for once a step.
"""

import ctypes
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

# Parts of a batch: more than workers, so that one held up by another program leaves its share to the rest.
PARTS = 4
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8  # malloc.h of glibc


def be_nice(niceness: int = 19) -> None:
    """Makes way for other processes."""
    os.nice(max(0, niceness - os.nice(0)))


def one_thread_an_operation() -> None:
    """Computes on one thread and keeps freed memory: asking the system for every large tensor anew takes a third of
    the time."""
    torch.set_num_threads(1)
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", lambda *_: 0)
        for setting, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_ARENA_MAX, 1)):
            mallopt(setting, value)


class Workers:
    """Runs a function on parts of a batch. Sums are taken in order, so the number of threads changes nothing."""

    def __init__(self, count: int):
        self.pool = ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,))

    def map(self, function: Callable, items: Sequence) -> list:
        return list(self.pool.map(function, items))

    def gradients(
        self, loss: Callable[[Tensor], Tensor], weights: list[Tensor], batch: Tensor
    ) -> tuple[float, list[Tensor]]:
        """Mean loss of a batch [rows, ...] and its gradients, in the weights' order; PARTS must divide the rows."""

        def part(rows):
            value = loss(rows)
            return value.detach(), torch.autograd.grad(value, weights)

        results = self.map(part, batch.chunk(PARTS))
        losses, gradients = zip(*results, strict=True)
        mean = [sum(parts[1:], parts[0]).div_(len(parts)) for parts in zip(*gradients, strict=True)]
        return float(sum(losses)) / len(losses), mean
