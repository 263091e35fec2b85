"""How much quicker are the compiled loops than the same by calls? One thread, GELU-1L's size, made-up numbers."""

import time
from functools import partial

import numpy as np
import torch

from features.engine.activity.correlations import Partners, _extremes
from features.engine.kernels.numba.cooccurrence import add_cooccurrences
from features.engine.model.unembedding import Unembedding
from features.engine.weights import ablation, ablation_sums
from features.engine.weights.logit_tables import logit_tables

FEATURES, POSITIONS, PAIRS, WIDTH, VOCABULARY, TOKENS = 2048, 512, 11_000, 512, 48_262, 10_000
ROUNDS = 3


def main():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for what, ours, twin in (*_effects(), _correlations(), _tables(), _cooccurrences()):
            mine, its = _seconds(ours), _seconds(twin)
            print(f"  {what:<52}{1000 * mine:8.1f} ms, by calls {1000 * its:8.1f} ms, {its / mine:.1f} times")
    finally:
        torch.set_num_threads(threads)


def _seconds(piece) -> float:
    piece()
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        piece()
        times.append(time.perf_counter() - start)
    return min(times)


def _effects():
    """Loss effects whole, and what of them is the same on both sides: products with the vocabulary."""
    g = torch.Generator().manual_seed(0)
    head = Unembedding.fold(torch.randn(WIDTH, VOCABULARY, generator=g) / 20)
    x, e = torch.randn(POSITIONS, WIDTH, generator=g), torch.randn(FEATURES, WIDTH, generator=g)
    at = torch.randint(POSITIONS, (PAIRS,), generator=g).sort().values
    which, f = torch.randint(FEATURES, (PAIRS,), generator=g), torch.rand(PAIRS, generator=g)
    targets = torch.randint(VOCABULARY, (POSITIONS,), generator=g)
    ablate = partial(ablation.ablate, head, x, targets, e, at, which, f)

    def by_calls():
        kept, ablation_sums.COMPILED_FROM = ablation_sums.COMPILED_FROM, 1 << 60
        try:
            ablate()
        finally:
            ablation_sums.COMPILED_FROM = kept

    def products():
        head.unscaled(x), head.unscaled(e)

    yield f"loss effects of {PAIRS:,} pairs, {POSITIONS} positions", ablate, by_calls
    yield "  (the products with the vocabulary alone, both sides)", products, products


def _correlations():
    rng = np.random.default_rng(0)
    y = rng.random((100, 16_384)) * (rng.random((100, 16_384)) < 0.1)
    x = y[:, :32]
    products, sums, squares = x.T @ y, y.sum(0), np.square(y).sum(0)
    partners = Partners.of(sums, squares, 100)

    def ours():
        _extremes(products, sums[:32], partners.scales[:32], partners, 100, np.arange(32))

    def by_calls():
        pearson = torch.from_numpy(
            (100 * products - np.outer(sums[:32], sums)) * np.outer(partners.scales[:32], partners.scales)
        )
        pearson.topk(8), pearson.topk(3, largest=False)

    return "extreme correlations of 32 features with 16,384", ours, by_calls


def _tables():
    effects = torch.randn(32, VOCABULARY)

    def by_calls():
        effects.topk(10), effects.topk(10, largest=False)
        for row in effects.numpy():
            np.histogram(row, 50)

    return f"logit tables of 32 features, {VOCABULARY:,} tokens", partial(logit_tables, effects), by_calls


def _cooccurrences():
    rng = np.random.default_rng(0)
    offsets = np.arange(TOKENS + 1) * 100
    columns, values = rng.integers(15_000, size=TOKENS * 100).astype(np.int32), rng.random(TOKENS * 100, np.float32)
    tokens, activations = np.sort(rng.permutation(TOKENS)[:2000]), rng.random(2000, np.float32)
    entries = np.concatenate([np.arange(offsets[t], offsets[t + 1]) for t in tokens])

    def by_calls():
        np.bincount(columns[entries], values[entries] * np.repeat(activations, 100), minlength=15_000)

    ours = partial(add_cooccurrences, tokens, activations, offsets, columns, values, np.zeros(15_000))
    return "products of 2,000 entries with 100 others each", ours, by_calls
