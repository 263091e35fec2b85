"""Figures of a whole SAE on a corpus: L0, explained variance, loss recovered, dead and dense features."""

import numpy as np
import torch

from .correlations import ProductSums
from .subject import Subject

DENSE_ABOVE = 0.1  # share of tokens
LOSS_ROWS = 128  # rows that the three losses are measured on: each takes a forward pass of its own
ROWS_AT_ONCE = 16


def explained_variance(sums: ProductSums, W_dec: torch.Tensor, b_dec: torch.Tensor) -> float:
    """1 - sum |h - h'|^2 / sum |h - mean h|^2 over the counted tokens, h' = f W_dec + b_dec.

    Expanded into the sums of products already taken, so that no token is decoded:
    |h - h'|^2 = |h|^2 - 2 h h' + |h'|^2, each term linear in sums of f h, f f, f and h.
    """
    W, b = W_dec.double(), b_dec.double()
    written = sums.f @ W  # [d_in], sum of f W_dec
    crossed = (sums.fh * W).sum() + sums.h @ b
    squared = ((sums.feature_products() @ W) * W).sum() + 2 * written @ b + sums.tokens * b @ b
    error = sums.hh.sum() - 2 * crossed + squared
    total = sums.hh.sum() - sums.h.square().sum() / sums.tokens
    return float(1 - error / total)


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
