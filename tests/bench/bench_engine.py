"""How long the whole statistics pass takes, against the bare float32 encoder product over the same tokens.

On weights of GELU-1L's shape and statistics (made once, a few minutes, into BENCH_WEIGHTS or a temporary folder), and
on the bundled demo. BENCH_TOKENS (262144) and BENCH_SIZES (corpus sizes whose peak memory is compared) may be set.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from features.engine.collect.collect import collect
from features.engine.corpus.token_rows import build_rows, read_documents, shuffled
from features.engine.encoder.encoder import Encoder
from features.engine.model.vocabulary import Vocabulary
from features.engine.subject import Subject

from . import gelu1l_shape

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
        _told("GELU-1L's shape", _in_its_own_process("shape", folder, TOKENS))
        for size in SIZES:
            memory = _in_its_own_process("memory", folder, size)
            print(f"  {size:>9,} tokens: {memory['peak']:.2f} GB at the most, weights {memory['weights']:.2f} GB")
        _told("the demo", _in_its_own_process("demo", DEMO, TOKENS))


def _in_its_own_process(what: str, folder: Path, tokens: int) -> dict:
    command = [sys.executable, "-m", "tests.bench.bench_engine", what, str(folder), str(tokens)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _told(name: str, t: dict) -> None:
    print(f"  {name}: {t['features']:,} features, {t['tokens']:,} tokens, L0 {t['l0']:.0f}, {t['threads']} threads")
    bare = t["bare"]
    for what, key in [
        ("bare float32 encoder product", "bare"),
        ("activations, entries, sums", "pass"),
        ("products between features", "merge"),
        ("examples, correlations, logits", "examples"),
        ("the whole without loss effects", "whole"),
        ("loss effects of shown examples", "effects"),
        ("all of it", "all"),
    ]:
        print(f"    {what:<34}{t[key]:7.1f} s  ratio {t[key] / bare:.2f}")
    print(f"    {t['candidates']:.0f} entries a token pass the {t['screen']} screen, {t['l0']:.0f} of them are active")


def _subject_and_rows(what: str, folder: Path):
    subject = Subject.load(folder / "model", folder / "sae", HOOK, device="cpu")
    if what != "demo":
        return subject, np.load(folder / "rows.npy", mmap_mode="r")
    return subject, build_rows(shuffled(read_documents(folder / "corpus")), Vocabulary.load(folder / "model"), 128)


def measure(what: str, folder: Path, tokens: int) -> dict:
    subject, rows = _subject_and_rows(what, folder)
    before = bare_product(subject, rows, tokens)
    began = {}

    def progress(now):
        began.setdefault(now.phase, time.perf_counter())

    start = time.perf_counter()
    collected = collect(subject, rows, tokens=tokens, progress=progress)
    merged = time.perf_counter()
    effects = _timed_effects(collected)
    count = sum(1 for _ in collected.features())
    end, effects = time.perf_counter(), sum(effects)
    bare = (before + bare_product(subject, rows, tokens)) / 2
    return {
        "bare": bare,
        "pass": began["merging"] - start,
        "merge": merged - began["merging"],
        "examples": end - merged - effects,
        "whole": end - start - effects,
        "effects": effects,
        "all": end - start,
        "features": count,
        "tokens": collected.tokens,
        "l0": collected.summary.l0,
        "threads": torch.get_num_threads(),
        **screened(subject, rows),
    }


def _timed_effects(collected) -> list[float]:
    """Fills up with the seconds that loss effects take."""
    seconds, compute = [], collected.effects

    def timed(shown):
        start = time.perf_counter()
        found = compute(shown)
        seconds.append(time.perf_counter() - start)
        return found

    collected.effects = timed
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


def screened(subject: Subject, rows: np.ndarray) -> dict:
    """Which screen is the quickest here, and the entries a token that it lets through."""
    hook, encoder = _hook(subject, rows)[:1024], Encoder(subject.sae, "on")
    encoder.settle(hook)
    return {"screen": encoder.kind, "candidates": len(encoder.screen.candidates(hook)) / len(hook)}


def memory(folder: Path, tokens: int) -> dict:
    """Gigabytes: the most this process held while it did the whole pass, and what the weights alone take."""
    subject, rows = _subject_and_rows("memory", folder)
    weights = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    for _ in collect(subject, rows, tokens=tokens).features():
        pass
    return {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, "weights": weights}


if __name__ == "__main__":
    what, folder, tokens = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    print(json.dumps(memory(folder, tokens) if what == "memory" else measure(what, folder, tokens)))
