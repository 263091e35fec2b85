"""Figures of a whole SAE on a corpus: L0, explained variance, loss recovered, dead and dense features."""

import numpy as np
import torch

from .results import Summary
from .subject import Subject
from .sums import Sums

DENSE_ABOVE = 0.1  # share of tokens
LOSS_ROWS = 128  # rows that the three losses are measured on: each takes a forward pass of its own
ROWS_AT_ONCE = 16


def summary(plan, sums: Sums, counts: np.ndarray, losses: np.ndarray, seed: int) -> Summary:
    """From a plan, what was summed by it, each feature's active tokens [d_sae], and what `losses` found."""
    clean, reconstructed, zero, loss_tokens = losses.tolist()
    return Summary(
        tokens=sums.tokens,
        rows=plan.used_rows,
        l0=float(counts.sum() / max(sums.tokens, 1)),
        explained_variance=sums.explained_variance,
        loss_clean=clean,
        loss_reconstructed=reconstructed,
        loss_zero_ablated=zero,
        loss_tokens=int(loss_tokens),
        dead=int((counts == 0).sum()),
        dense=int((counts > DENSE_ABOVE * sums.tokens).sum()),
        seed=seed,
        versions={"torch": torch.__version__, "numpy": np.__version__},
    )


def losses(subject: Subject, rows: np.ndarray, special: set[int]) -> tuple[float, float, float, int]:
    """Mean loss per predicted token: clean, with the hook's activations reconstructed, with them zero; and
    the number of tokens. Special tokens are not counted as predictions."""
    sums, count = np.zeros(3), 0
    for start in range(0, min(len(rows), LOSS_ROWS), ROWS_AT_ONCE):
        ids = subject.tokens(rows[start : min(start + ROWS_AT_ONCE, LOSS_ROWS)].astype(np.int64))
        targets = ids[:, 1:].flatten()
        counted = ~torch.isin(targets, torch.tensor(sorted(special), device=ids.device, dtype=torch.long))
        count += int(counted.sum())
        for n, replace in enumerate((None, lambda h: subject.sae.decode(subject.sae.encode(h), h), torch.zeros_like)):
            x = _residual(subject, ids, replace)[:, :-1].flatten(0, 1)
            sums[n] += float(subject.model.head.losses(x[counted], targets[counted]).double().sum())
    clean, reconstructed, zero = sums / max(count, 1)
    return clean, reconstructed, zero, count


def _residual(subject: Subject, ids, replace):
    if replace is None:
        return subject.model.activations_and_residual(ids, subject.hook_point)[1]
    return subject.model.residual_with(ids, subject.hook_point, replace)
