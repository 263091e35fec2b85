"""How many features do simple patterns describe, of the demo, of plain neurons and of random directions? And how fast?

All three on the same rows of the demo, at the same L0: of the neurons, and of the products with random unit vectors,
the largest are kept, so many that a token has as many active ones as of the SAE. Shares are of features with at least
20 activations; F1 is of the rows on which nothing was chosen. Then seconds of the processor, one thread, at the demo's
shape and at GELU-1L's, with made-up entries.
"""

import lzma
import os
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import torch

from features.engine.ask.row_text import TokenBytes, row_texts
from features.engine.descriptions.choose import Describer
from features.engine.descriptions.family import LEAST_ACTIVATIONS
from features.engine.descriptions.text_table import text_table
from features.engine.subject import Subject

DEMO = Path(__file__).parents[2] / "features" / "demo"
TOKENS, BATCH_ROWS = 60_000, 16
SHAPES = {"demo": (4096, 500_000, 52), "GELU-1L": (16_384, 262_000, 151)}  # features, tokens, active on each
TIMED = 256  # features, of which the seconds of all follow


def main():
    subject = Subject.load(DEMO / "model", DEMO / "sae", "blocks.0.mlp.hook_post", device="cpu")
    rows = np.load(BytesIO(lzma.decompress(next((DEMO / "rows").glob("*.npy.xz")).read_bytes())))
    controls(subject, rows[:: len(rows) // (TOKENS // 127)])
    for name, shape in SHAPES.items():
        times(name, *shape, rows, TokenBytes(subject.vocabulary))


# What is described


def controls(subject, rows):
    """Documents are told by their EOS; of which kind they are is not asked."""
    tokens = TokenBytes(subject.vocabulary)
    table = text_table(row_texts(rows, 1, tokens), tokens)
    describer, counted = Describer(table), np.flatnonzero(table.counted)
    h = hook_activations(subject, rows)[torch.from_numpy(counted)]  # [tokens, d_in]
    f = torch.cat([subject.sae.encode(part) for part in h.split(2048)])  # [tokens, d_sae]
    active = int((f != 0).sum())
    print(f"  {len(counted):,} tokens, L0 {active / len(counted):.1f}")
    drawn = torch.randn(h.shape[1], f.shape[1], generator=torch.Generator().manual_seed(0))
    products = (h - h.mean(0)) @ torch.nn.functional.normalize(drawn, dim=0)
    of = {"the demo's SAE": f, "plain neurons": largest(h, active), "random directions": largest(products, active)}
    for name, activations in of.items():
        found = []
        for column in (activations != 0).T.contiguous():
            on = counted[np.flatnonzero(column.numpy())]
            if len(on) >= LEAST_ACTIVATIONS:
                description = describer.describe(on)
                found.append(description.f1 if description else 0.0)
        f1 = np.array(found)
        shares = ", ".join(f"{(f1 >= least).mean():6.1%} from {least}" for least in (0.3, 0.5, 0.8))
        print(f"  {name:<20}{len(f1):>6,} features: F1 {shares}; median {np.median(f1):.2f}", flush=True)


def hook_activations(subject, rows):
    """[rows * (length - 1), d_in], BOS left out."""
    batches = []
    for start in range(0, len(rows), BATCH_ROWS):
        with torch.no_grad():
            batches.append(subject.activations(rows[start : start + BATCH_ROWS].astype(np.int64))[:, 1:].flatten(0, 1))
    return torch.cat(batches).float()


def largest(values, count):
    """All but the `count` largest set to 0."""
    least = np.partition(values.numpy().ravel(), -count)[-count]
    return torch.where(values >= float(least), values, 0.0)


# How fast


def times(name, d_sae, count, active, rows, tokens):
    rows = np.resize(rows, (count // 127, 128))
    start = time.process_time()
    table = text_table(row_texts(rows, 1, tokens), tokens)
    describer = Describer(table)
    describer.describe(np.arange(0, table.tokens, 50))  # tables are made, kernels compiled
    made = time.process_time() - start
    rng = np.random.default_rng(0)
    density = np.sort(rng.pareto(1.0, d_sae) + 0.1)
    sizes = np.minimum(density / density.sum() * active * table.tokens, table.tokens / 3).astype(int)
    seconds = 0.0
    for size in sizes[:: d_sae // TIMED]:
        on = np.sort(rng.choice(table.tokens, size, replace=False))
        start = time.process_time()
        describer.describe(on)
        seconds += time.process_time() - start
    print(f"  {name}: {made:.1f} s for the text's tables, {seconds / TIMED * d_sae:.0f} s for {d_sae:,} features")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
