"""`python -m tests.bench.gelu1l_shape FOLDER [--d-sae 131072 --d-in 768 --l0 80]`: weights to measure on.

Writes model/, sae/ and rows.npy ([n, 128] token ids, BOS first) of GELU-1L's shape and of a real SAE's statistics,
the same for the same seed, and prints how near the statistics came. Real weights cannot be shipped; random ones would
fire at random, and speed depends on how many features fire.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from features.engine.model.language_model import load_model
from features.engine.subject import Subject
from tests.bench.made_model import Shape, rows_of, write_model
from tests.bench.made_sae import make_sae, target_densities, write_sae

HOOK = "blocks.0.mlp.hook_post"
SAMPLE_TOKENS, POOL_TOKENS, FRESH_TOKENS = 65_000, 20_000, 8_000
SHARES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)  # where densities are compared


def write(
    folder: Path,
    d_sae: int = 16384,
    d_in: int = 2048,
    *,
    l0: float | None = None,
    tokens: int = 300_000,
    seed: int = 0,
    shape: Shape | None = None,
    sample_tokens: int = SAMPLE_TOKENS,
) -> np.ndarray:
    """Make the folder. Returns the density each feature was made for, in the SAE's order. [d_sae]

    `l0` scales the densities, which sum to about 150 for 16,384 features as they are.
    """
    folder, shape = Path(folder), shape or Shape(d_mlp=d_in)
    write_model(folder / "model", shape, seed)
    model = load_model(folder / "model", "cpu")
    pool = first_of_each_token(model, rows_of(POOL_TOKENS, shape.d_vocab, seed=seed + 1))
    sample = activations(model, rows_of(sample_tokens, shape.d_vocab, seed=seed + 2))
    weights, densities = make_sae(pool, sample, target_densities(d_sae, l0), seed)
    write_sae(folder / "sae", weights, HOOK)
    np.save(folder / "rows.npy", rows_of(tokens, shape.d_vocab, seed=seed))
    return densities


@torch.no_grad()
def activations(model, rows: np.ndarray) -> Tensor:
    """At the hook point, of every token but BOS. [rows * (length - 1), d_in]"""
    parts = torch.tensor(rows.astype(np.int64)).split(16)
    return torch.cat([model.activations(part, HOOK)[:, 1:].flatten(0, 1) for part in parts])


def first_of_each_token(model, rows: np.ndarray) -> Tensor:
    """The same, of the first place of each different token: rare ones count as much as frequent ones. [n, d_in]"""
    return activations(model, rows)[np.unique(rows[:, 1:], return_index=True)[1]]


@torch.no_grad()
def fired(subject: Subject, rows: np.ndarray) -> tuple[np.ndarray, int]:
    """On how many of the rows' tokens each feature fires, and how many tokens these are. [d_sae]"""
    counts = torch.zeros(subject.d_sae, dtype=torch.int64)
    for part in np.array_split(rows, max(1, len(rows) // 4)):
        counts += (subject.sae.encode(activations(subject.model, part)) > 0).sum(0)
    return counts.numpy(), rows[:, 1:].size


def compare(counts: np.ndarray, tokens: int, densities: np.ndarray) -> list[tuple[float, float]]:
    """(wanted, achieved) mean density of the features in each range of wanted densities, the rarest first.

    Single rare features fire a few times at most on these tokens; many of them together can be compared.
    """
    order = np.argsort(densities, kind="stable")
    cuts = [int(share * len(order)) for share in SHARES]
    groups = [order[start:stop] for start, stop in zip(cuts, cuts[1:], strict=False)]
    return [(densities[group].mean(), counts[group].mean() / tokens) for group in groups]


def report(folder: Path, densities: np.ndarray, tokens: int = FRESH_TOKENS, seed: int = 0) -> None:
    """Print what the written SAE does on rows that nothing was set on."""
    subject = Subject.load(folder / "model", folder / "sae", HOOK, device="cpu")
    rows = rows_of(tokens, subject.model.d_vocab, seed=seed + 3)
    counts, tokens = fired(subject, rows)
    print(f"{subject.d_sae:,} features on {tokens:,} fresh tokens")
    print(f"  L0 wanted {densities.sum():.1f}, achieved {counts.sum() / tokens:.1f}")
    for n, (wanted, achieved) in enumerate(compare(counts, tokens, densities)):
        share = f"{SHARES[n]:.0%} to {SHARES[n + 1]:.0%}"
        print(f"  features from {share:>11} of the densities: wanted {wanted:.2e}, achieved {achieved:.2e}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--d-sae", type=int, default=16384)
    parser.add_argument("--d-in", type=int, default=2048)
    parser.add_argument("--l0", type=float, help="mean number of active features per token; default: as published")
    parser.add_argument("--tokens", type=int, default=300_000, help="in rows.npy")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    start = time.perf_counter()
    densities = write(asked.folder, asked.d_sae, asked.d_in, l0=asked.l0, tokens=asked.tokens, seed=asked.seed)
    print(f"written in {time.perf_counter() - start:.0f} s")
    report(asked.folder, densities, seed=asked.seed)


if __name__ == "__main__":
    main()
