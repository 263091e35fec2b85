"""How fast a GPU goes through the corpus: tokens a second, share of its bfloat16 matrix rate, memory at the most.

On weights of GELU-1L's shape (BENCH_WEIGHTS, or made anew). BENCH_TOKENS may be set.
"""

import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from features.engine.collect import collect
from features.engine.subject import Subject

from . import gelu1l_shape
from .bench_engine import HOOK

TOKENS = int(os.environ.get("BENCH_TOKENS", 1_000_000))
SIZE, ROUNDS = 8192, 20


def main():
    if not torch.cuda.is_available():
        print("  needs a CUDA device; none is here")
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(os.environ.get("BENCH_WEIGHTS", temporary))
        if not (folder / "rows.npy").exists():
            gelu1l_shape.write(folder, tokens=TOKENS * 11 // 10)
        tell(folder)


def tell(folder: Path) -> None:
    subject = Subject.load(folder / "model", folder / "sae", HOOK, device="cuda")
    rows = np.load(folder / "rows.npy", mmap_mode="r")
    collect(subject, rows, tokens=20_000)  # kernels are chosen and loaded
    torch.cuda.reset_peak_memory_stats()
    began = {}
    start = time.perf_counter()
    collected = collect(
        subject, rows, tokens=TOKENS, progress=lambda now: began.setdefault(now.phase, time.perf_counter())
    )
    passed, merged = began["merging"] - start, time.perf_counter() - start
    count = sum(1 for _ in collected.features())
    whole = time.perf_counter() - start
    product = 2 * subject.sae.W_enc.numel() * collected.tokens
    rate = bfloat16_rate()
    print(f"  {torch.cuda.get_device_name()}: {count:,} features, {collected.tokens:,} tokens")
    print(f"  pass over the corpus   {passed:7.1f} s  {collected.tokens / passed:,.0f} tokens a second")
    print(f"  with products of pairs {merged:7.1f} s;  with examples, tables and loss effects {whole:.1f} s")
    print(f"  bfloat16 products      {rate / 1e12:7.0f} TFLOP/s measured; the encoder's would take")
    print(f"                         {product / rate:7.1f} s, {product / rate / passed:.0%} of the pass")
    print(f"  memory at the most     {torch.cuda.max_memory_allocated() / 1e9:7.1f} GB")


def bfloat16_rate() -> float:
    """FLOP a second of a large square product."""
    left, right = (torch.randn(SIZE, SIZE, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    left @ right
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(ROUNDS):
        left @ right
    torch.cuda.synchronize()
    return 2 * SIZE**3 * ROUNDS / (time.perf_counter() - start)
