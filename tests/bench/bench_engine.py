"""How long the whole statistics pass takes, against the bare float32 encoder product over the same tokens.

On weights of GELU-1L's shape and statistics (made once, a few minutes, into BENCH_WEIGHTS or a temporary folder), and
on the bundled demo. BENCH_TOKENS (262144) and BENCH_SIZES (corpus sizes whose peak memory is compared) may be set.
"""

import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from features.engine.collect.collect import collect
from features.engine.corpus.documents import read_documents
from features.engine.corpus.token_rows import build_rows
from features.engine.encoder.encoder import Encoder
from features.engine.model.vocabulary import Vocabulary
from features.engine.subject import Subject
from features.engine.weights import summary

from . import gelu1l_shape, measured

DEMO = Path("features/demo")
HOOK = "blocks.0.mlp.hook_post"
TOKENS = int(os.environ.get("BENCH_TOKENS", 262_144))
SIZES = [int(size) for size in os.environ.get("BENCH_SIZES", "100000,262144").split(",")]
BATCH = 4096  # tokens; the bare product is as fast as it gets there
ROUNDS = 6


def main():
    kept = os.environ.get("BENCH_WEIGHTS")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(kept or temporary)
        if not (folder / "rows.npy").exists():
            gelu1l_shape.write(folder, tokens=max(TOKENS, *SIZES) * 11 // 10)
        print("  GELU-1L's shape", flush=True)
        _in_its_own_process("shape", folder, TOKENS)
        for size in SIZES:
            _in_its_own_process("memory", folder, size)
        print("  the demo", flush=True)
        _in_its_own_process("demo", DEMO, TOKENS)


def _in_its_own_process(what: str, folder: Path, tokens: int) -> None:
    """Prints a line as each part ends."""
    command = [sys.executable, "-m", "tests.bench.bench_engine", what, folder, tokens]
    if code := measured.run(command).code:
        sys.exit(f"The benchmark of {what} ended with {code}.")


def _subject_and_rows(what: str, folder: Path):
    subject = Subject.load(folder / "model", folder / "sae", HOOK, device="cpu")
    if what != "demo":
        return subject, np.load(folder / "rows.npy", mmap_mode="r")
    return subject, build_rows(
        read_documents(folder / "corpus").shuffled().texts, Vocabulary.load(folder / "model"), 128
    )


class Lines:
    """Prints how long each part took, as it ends, and its ratio to the bare product."""

    def __init__(self, bare: float):
        self.bare = bare
        self("bare float32 encoder product", bare)

    def __call__(self, part: str, seconds: float):
        print(f"    {part:<34}{seconds:7.1f} s  ratio {seconds / self.bare:.2f}", flush=True)


def measure(what: str, folder: Path, tokens: int) -> None:
    subject, rows = _subject_and_rows(what, folder)
    line = Lines(bare_product(subject, rows, tokens))
    began, losses = {}, _timed(summary, "losses_by_row")

    def progress(now):
        if now.phase == "merging" and "merging" not in began:
            line("activations, entries, sums", time.perf_counter() - start - sum(losses))
            line("loss with and without the SAE", sum(losses))
        began.setdefault(now.phase, time.perf_counter())

    start = time.perf_counter()
    collected = collect(subject, rows, tokens=tokens, progress=progress)
    merged = time.perf_counter()
    line("products between features, health", merged - began["merging"])
    effects = _timed(collected, "effects")
    count = sum(1 for _ in collected.features())
    end, effects = time.perf_counter(), sum(effects)
    line("examples, correlations, logits", end - merged - effects)
    line("the whole without loss effects", end - start - effects)
    line("loss effects of shown examples", effects)
    line("all of it", end - start)
    line("the bare product once more", bare_product(subject, rows, tokens))
    print(f"    {screened(subject, rows, collected.summary.l0)}")
    print(f"    {count:,} features, {collected.tokens:,} tokens, {torch.get_num_threads()} threads", flush=True)


def _timed(owner, name: str) -> list[float]:
    """Fills up with the seconds that a function of the owner's takes, call by call."""
    seconds, compute = [], getattr(owner, name)

    def timed(*arguments):
        start = time.perf_counter()
        found = compute(*arguments)
        seconds.append(time.perf_counter() - start)
        return found

    setattr(owner, name, timed)
    return seconds


def _hook(subject: Subject, rows: np.ndarray) -> torch.Tensor:
    few = rows[: BATCH // rows.shape[1]].astype(np.int64)
    return torch.cat([subject.activations(part)[:, 1:].flatten(0, 1) for part in np.array_split(few, 4)])


def bare_product(subject: Subject, rows: np.ndarray, tokens: int) -> float:
    """Seconds that h @ W_enc + b_enc takes for `tokens` tokens, h at hand."""
    hook, W = _hook(subject, rows), subject.sae.W_enc
    product = torch.addmm(subject.sae.b_enc, hook, W)
    start = time.perf_counter()
    for _ in range(ROUNDS):
        torch.addmm(subject.sae.b_enc, hook, W, out=product)
    return (time.perf_counter() - start) / ROUNDS / len(hook) * tokens


def screened(subject: Subject, rows: np.ndarray, l0: float) -> str:
    """Which screen is the quickest here, and the entries a token that it lets through."""
    hook, encoder = _hook(subject, rows)[:1024], Encoder(subject.sae, "on")
    encoder.calibrate(hook)
    passed = len(encoder.screen.candidates(hook)) / len(hook)
    return f"{passed:.0f} entries a token pass the {encoder.screen_name} screen, {l0:.0f} of them are active"


def memory(folder: Path, tokens: int) -> None:
    """The most this process held while it did the whole pass, and what the weights alone take."""
    subject, rows = _subject_and_rows("memory", folder)
    weights = _peak()
    for _ in collect(subject, rows, tokens=tokens).features():
        pass
    print(f"    {tokens:>9,} tokens: {_peak():.2f} GB at the most, weights {weights:.2f} GB", flush=True)


def _peak() -> float:
    """Gigabytes that this process held at the most. Its own: see measured.py."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


if __name__ == "__main__":
    what, folder, tokens = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    memory(folder, tokens) if what == "memory" else measure(what, folder, tokens)
