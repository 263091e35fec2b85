"""Independent pieces of work on all cores, one core each."""

import contextlib
import math
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

ON_A_GPU = 8  # pieces side by side at most: each holds some of its memory


class Scratch(threading.local):
    """Memory that is filled again and again, one a thread: asking for it anew each time costs more than filling it."""

    memory: Tensor | None = None

    def of(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Uninitialised, of this shape, with the type and device of `like`."""
        size = math.prod(shape)
        if self.memory is None or self.memory.numel() < size or self.memory.dtype != like.dtype:
            self.memory = torch.empty(size, dtype=like.dtype, device=like.device)
        return self.memory[:size].view(shape)


@contextlib.contextmanager
def side_by_side(device, mostly_here: bool = False):
    """A function that carries out pieces of work side by side on the cores and yields their results.

    Where the device is a GPU, only pieces that are `mostly_here`, the GPU's part of them being small.

    The pieces are many small steps: shared out step by step, the cores would mostly wait for each other. So each
    piece has one core to itself, which PyTorch decides by a number that new threads start with.
    """
    threads = torch.get_num_threads()
    if threads == 1 or (device.type != "cpu" and not (device.type == "cuda" and mostly_here)):
        yield one_by_one
        return
    torch.set_num_threads(1)
    together = threads if device.type == "cpu" else min(threads, ON_A_GPU)
    pool = ThreadPoolExecutor(together)
    try:
        yield lambda work: _in_turn(pool, work, 2 * together)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)


def one_by_one(work):
    """The results of pieces of work that leave the cores to each other's threads, in order."""
    return (piece() for piece in work)


def results_of(pieces: list, device) -> list:
    """What the pieces of work come to, in order: side by side, but a single one has all cores to itself."""
    if len(pieces) == 1:
        return [pieces[0]()]
    with side_by_side(device) as run:
        return list(run(pieces))


def _in_turn(pool: ThreadPoolExecutor, work, ahead: int):
    """Results in order, with at most `ahead` pieces handed out: their inputs are not all made at once."""
    waiting = deque()
    for piece in work:
        waiting.append(pool.submit(piece))
        if len(waiting) == ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
