"""Which products does this device compute fastest? Measured once a process, in a few tenths of a second: autotuning."""

import time
from collections.abc import Callable
from functools import lru_cache

import torch

SAMPLE = (2048, 1024, 256)  # features, width and tokens of the product that is measured
GPU_SAMPLE = (8192, 2048, 2048)  # smaller ones take no longer than it takes to launch them
TWICE = 1.6  # times faster than float32 bfloat16 has to be for computing a product in both
WORTH_IT = 1.3  # times faster than float32 a screen has to be, with the work that it leaves
ROUNDS = 5  # of which the fastest counts
HOPELESS = 4  # times slower than float32 on a small product: larger ones are not tried


def bfloat16_pays(device: torch.device) -> bool:
    """Whether bfloat16 is so much faster than float32 that computing a product twice is worth it."""
    return relative_matmul_cost(device)["bfloat16"] * TWICE < 1


@lru_cache
def relative_matmul_cost(device: torch.device) -> dict[str, float]:
    """How long a product takes in each number format that a screen may use here, float32 taking 1.

    Formats that a processor only emulates take seconds: what is far behind on a small product is not tried on more.
    """
    features, width, tokens = SAMPLE if device.type == "cpu" else GPU_SAMPLE
    small = _relative(_products(device, features // 8, width, tokens), device, rounds=2)
    products = _products(device, features, width, tokens)
    return small | _relative({name: products[name] for name in products if small.get(name, 1) <= HOPELESS}, device)


def _products(device: torch.device, features: int, width: int, tokens: int) -> dict[str, Callable]:
    """[features, width] @ [width, tokens] in each number format."""
    products = {}
    for name, dtype in {"float32": torch.float32, "bfloat16": torch.bfloat16}.items():
        left, right = (torch.ones(shape, dtype=dtype, device=device) for shape in ((features, width), (width, tokens)))
        products[name] = lambda left=left, right=right: left @ right
    if device.type == "cpu" and multiplies_bytes_exactly():
        bytes = torch.ones(features, width, dtype=torch.int8), torch.ones(tokens, width, dtype=torch.int8)
        products["int8"] = lambda: torch._int_mm(bytes[0], bytes[1].t())
    return products


def _relative(products: dict[str, Callable], device: torch.device, rounds: int = ROUNDS) -> dict[str, float]:
    """Seconds of each product's fastest round, float32 taking 1."""
    # Formats take turns: a disturbance of the machine hits all of them, and the fastest round is free of it.
    timed = [{name: _seconds(product, device) for name, product in products.items()} for _ in range(rounds)]
    fastest = {name: min(seconds[name] for seconds in timed) for name in products}
    float32 = fastest.pop("float32")
    return {name: seconds / float32 for name, seconds in fastest.items()}


@lru_cache
def multiplies_bytes_exactly() -> bool:
    """Whether this processor's products of bytes are right at the ends of their range: some older ones saturate."""
    # Sums of two products of ends pass 2**15, where 16-bit intermediate sums (AVX2's) are cut off.
    ends = torch.tensor([-128, 127], dtype=torch.int8).repeat(64)  # [128]
    rows = torch.stack([ends, ends.flip(0), torch.full_like(ends, -128), torch.full_like(ends, 127)]).repeat(16, 1)
    try:
        products = torch._int_mm(rows, rows.t())
    except (RuntimeError, AttributeError):  # it is not a public call of PyTorch's
        return False
    return torch.equal(products.long(), rows.long() @ rows.long().t())


def _seconds(product: Callable, device: torch.device) -> float:
    _synchronize(device)
    start = time.perf_counter()
    product()
    _synchronize(device)
    return time.perf_counter() - start


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
