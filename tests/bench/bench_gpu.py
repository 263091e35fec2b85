"""How fast a GPU goes through the corpus: tokens a second, share of its bfloat16 matrix rate, memory at the most.

On weights of GELU-1L's shape (BENCH_WEIGHTS, or made anew). BENCH_TOKENS may be set.
"""

import os
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from features.engine.collect import shard_pass
from features.engine.collect.collect import collect
from features.engine.subject import Subject

from . import gelu1l_shape
from .bench_engine import HOOK

TOKENS = int(os.environ.get("BENCH_TOKENS", 1_000_000))
SIZE, ROUNDS = 8192, 20
MEMORY = 24e9  # bytes that may be used, of however many there are


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
    torch.cuda.set_per_process_memory_fraction(min(1.0, MEMORY / torch.cuda.mem_get_info()[1]))
    subject = Subject.load(folder / "model", folder / "sae", HOOK, device="cuda")
    rows = np.load(folder / "rows.npy", mmap_mode="r")
    collect(subject, rows, tokens=20_000)  # kernels are chosen and loaded
    torch.cuda.reset_peak_memory_stats()
    tokens, seconds = measured(subject, rows)
    memory = torch.cuda.max_memory_allocated()
    rate, work = bfloat16_rate(), 2 * subject.sae.W_enc.numel() * tokens
    print(f"  {torch.cuda.get_device_name()}: {subject.d_sae:,} features, {tokens:,} tokens")
    for name, value in seconds.items():
        print(f"  {name:24} {value:7.2f} s")
    passed = seconds["activations"]
    print(f"  pass over the corpus     {tokens / passed:,.0f} tokens a second")
    print(f"  bfloat16 products        {rate / 1e12:.0f} TFLOP/s measured; the encoder's would take")
    print(f"                           {work / rate:.2f} s, {work / rate / passed:.0%} of the pass")
    print(f"  memory at the most       {memory / 1e9:.1f} GB of the {MEMORY / 1e9:.0f} GB that it may use")
    with mock.patch.object(shard_pass, "runs_triton", lambda device: False):
        plain = pass_alone(subject, rows)
    by_kernels = pass_alone(subject, rows)
    print(f"  a shard by plain tensors {plain:7.2f} s, by kernels {by_kernels:.2f} s: {plain / by_kernels:.1f} times")


def measured(subject: Subject, rows: np.ndarray) -> tuple[int, dict[str, float]]:
    """Counted tokens, and the seconds of each phase of the whole."""
    began = {"activations": time.perf_counter()}
    collected = collect(
        subject, rows, tokens=TOKENS, progress=lambda now: began.setdefault(now.phase, time.perf_counter())
    )
    began.setdefault("examples", time.perf_counter())
    for _ in collected.features():
        pass
    ends = [*list(began.values())[1:], time.perf_counter()]
    return collected.tokens, {name: end - start for (name, start), end in zip(began.items(), ends, strict=True)}


def pass_alone(subject: Subject, rows: np.ndarray) -> float:
    """Seconds of one shard's pass, of 131,072 tokens."""
    few, times = rows[: 131_072 // rows.shape[1]], []
    for _ in range(2):
        with tempfile.TemporaryDirectory() as name:
            one = shard_pass.ShardPass(subject, first=1)
            start = time.perf_counter()
            one.run(few, (0, len(few)), 8192 // rows.shape[1], Path(name), lambda tokens: None)
            times.append(time.perf_counter() - start)
    return min(times)


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
