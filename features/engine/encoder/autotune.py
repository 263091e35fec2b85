"""Which products does this device take quickest? Measured once a process, in a few tenths of a second."""

import time
from collections.abc import Callable
from functools import lru_cache

import torch

SAMPLE = (2048, 1024, 256)  # features, width and tokens of the product that is measured
GPU_SAMPLE = (8192, 2048, 2048)  # smaller ones take no longer than it takes to ask for them
TWICE = 1.6  # times quicker than float32 bfloat16 has to be for taking a product in both
WORTH_IT = 1.3  # times quicker than float32 a screen has to be, with the work that it leaves


def low_is_faster(device: torch.device) -> bool:
    """Whether bfloat16 is so much quicker than float32 that taking a product twice is worth it."""
    return shares_of_float32(device)["bfloat16"] * TWICE < 1


@lru_cache
def shares_of_float32(device: torch.device) -> dict[str, float]:
    """How long a product takes in each kind of numbers that a screen may use here, float32 taking 1."""
    features, width, tokens = SAMPLE if device.type == "cpu" else GPU_SAMPLE
    ways = {}
    for name, kind in {"float32": torch.float32, "bfloat16": torch.bfloat16}.items():
        left, right = (torch.ones(shape, dtype=kind, device=device) for shape in ((features, width), (width, tokens)))
        ways[name] = lambda left=left, right=right: left @ right
    if device.type == "cpu" and multiplies_bytes_exactly():
        bytes = torch.ones(features, width, dtype=torch.int8), torch.ones(tokens, width, dtype=torch.int8)
        ways["int8"] = lambda: torch._int_mm(bytes[0], bytes[1].t())
    rounds = [{name: _seconds(way, device) for name, way in ways.items()} for _ in range(5)]
    least = {name: min(took[name] for took in rounds) for name in ways}
    plain = least.pop("float32")
    return {name: took / plain for name, took in least.items()}


@lru_cache
def multiplies_bytes_exactly() -> bool:
    """Whether this processor's products of bytes are right at the ends of their range: some older ones saturate."""
    ends = torch.tensor([-128, 127], dtype=torch.int8).repeat(64)
    rows = torch.stack([ends, ends.flip(0), torch.full_like(ends, -128), torch.full_like(ends, 127)]).repeat(16, 1)
    try:
        found = torch._int_mm(rows, rows.t())
    except (RuntimeError, AttributeError):  # it is not a public call of PyTorch's
        return False
    return torch.equal(found.long(), rows.long() @ rows.long().t())


def _seconds(way: Callable, device: torch.device) -> float:
    _wait(device)
    start = time.perf_counter()
    way()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
