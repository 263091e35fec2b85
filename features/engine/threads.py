"""Independent pieces of work on all cores, one core each."""

import contextlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import torch


@contextlib.contextmanager
def side_by_side(device):
    """A function that carries out pieces of work side by side on the cores and yields their results.

    The pieces are many small steps: shared out step by step, the cores would mostly wait for each other. So each
    piece has one core to itself, which PyTorch decides by a number that new threads start with.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1:
        yield lambda work: (piece() for piece in work)
        return
    torch.set_num_threads(1)
    pool = ThreadPoolExecutor(threads)
    try:
        yield lambda work: _in_turn(pool, work, 2 * threads)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)


def _in_turn(pool: ThreadPoolExecutor, work, ahead: int):
    """Results in order, with at most `ahead` pieces handed out: their inputs are not all made at once."""
    waiting = deque()
    for piece in work:
        waiting.append(pool.submit(piece))
        if len(waiting) == ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
