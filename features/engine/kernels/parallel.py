"""How do independent tasks use all cores? A thread each: task parallelism, instead of threads inside an operation."""

import contextlib
import math
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

GPU_THREADS = 8  # tasks at once at most where they use a GPU: each holds some of its memory


class Scratch(threading.local):
    """A buffer that is filled again and again, one a thread: allocating it anew costs more than filling it."""

    memory: Tensor | None = None

    def buffer(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Uninitialised, of this shape, with the type and device of `like`; valid until the thread's next call."""
        size = math.prod(shape)
        if self.memory is None or self.memory.numel() < size or self.memory.dtype != like.dtype:
            self.memory = torch.empty(size, dtype=like.dtype, device=like.device)
        return self.memory[:size].view(shape)


@contextlib.contextmanager
def parallel_map(device, host_bound: bool = False) -> Iterator[Callable[[Iterable[Callable]], Iterator]]:
    """A function that calls tasks, several at once, and yields their results in order.

    Where the device is a GPU, only tasks that are `host_bound`, the GPU's part of them being small, run several at
    once.

    A task is many small operations: were each operation shared out among the cores, these would mostly wait for each
    other. So each task has one core to itself: new threads start with the number of threads that PyTorch is set to,
    which is one while the pool lives.
    """
    threads = torch.get_num_threads()
    if threads == 1 or (device.type != "cpu" and not (device.type == "cuda" and host_bound)):
        yield serial_map
        return
    torch.set_num_threads(1)
    workers = threads if device.type == "cpu" else min(threads, GPU_THREADS)
    pool = ThreadPoolExecutor(workers)
    try:
        yield lambda tasks: _ordered_results(pool, tasks, 2 * workers)
    finally:
        # Nobody reads the results of tasks that wait after an error or a cancellation.
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)


def serial_map(tasks: Iterable[Callable]) -> Iterator:
    """The results of tasks called one after another; each operation may use all cores."""
    return (task() for task in tasks)


def run_all(tasks: list[Callable], device) -> list:
    """The results of the tasks, in order: several at once, but a single one has all cores to itself."""
    if len(tasks) == 1:
        return [tasks[0]()]
    with parallel_map(device) as run:
        return list(run(tasks))


def _ordered_results(pool: ThreadPoolExecutor, tasks: Iterable[Callable], ahead: int) -> Iterator:
    """Results in order, with at most `ahead` tasks submitted: their inputs are made as they are needed."""
    pending = deque()
    for task in tasks:
        pending.append(pool.submit(task))
        if len(pending) == ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()
