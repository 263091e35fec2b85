"""How long the whole statistics pass takes, against the bare encoder product over the same tokens."""

import sys
import time

import numpy as np
import torch

from features.engine.collect import collect
from features.engine.corpus import build_rows, read_documents, shuffled
from features.engine.subject import Subject
from features.engine.text import Vocabulary

DEMO = "features/demo"
TOKENS = 500_000
BATCH = 4096  # tokens; the bare product is as fast as it gets there


def bare_product(subject, rows, tokens: int) -> float:
    """Seconds that h @ W_enc + b_enc takes for `tokens` tokens, h at hand."""
    hook = torch.cat([subject.activations(part)[:, 1:].flatten(0, 1) for part in np.array_split(rows[:40], 5)])[:BATCH]
    product = torch.empty(len(hook), subject.d_sae)
    torch.addmm(subject.sae.b_enc, hook, subject.sae.W_enc, out=product)
    rounds, start = 12, time.perf_counter()
    for _ in range(rounds):
        torch.addmm(subject.sae.b_enc, hook, subject.sae.W_enc, out=product)
    return (time.perf_counter() - start) / rounds / len(hook) * tokens


def main(tokens: int = TOKENS):
    vocabulary = Vocabulary.load(f"{DEMO}/model")
    rows = build_rows(shuffled(read_documents(f"{DEMO}/corpus")), vocabulary, 128)
    subject = Subject.load(f"{DEMO}/model", f"{DEMO}/sae", "blocks.0.mlp.hook_post", device="cpu")
    before = bare_product(subject, rows.astype(np.int64), tokens)
    start = time.perf_counter()
    collected = collect(subject, rows, tokens=tokens)
    passed = time.perf_counter() - start
    count = sum(1 for _ in collected.features())
    whole = time.perf_counter() - start
    bare = (before + bare_product(subject, rows.astype(np.int64), tokens)) / 2
    print(f"statistics of {count:,} features on {collected.tokens:,} tokens, {torch.get_num_threads()} threads")
    print(f"  bare encoder product  {bare:6.1f} s")
    print(f"  pass over the corpus  {passed:6.1f} s  ratio {passed / bare:.2f}")
    print(f"  examples and effects  {whole - passed:6.1f} s  ratio {(whole - passed) / bare:.2f}")
    print(f"  the whole             {whole:6.1f} s  ratio {whole / bare:.2f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
