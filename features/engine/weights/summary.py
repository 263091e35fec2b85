"""Figures of a whole SAE on a corpus: L0, explained variance, loss recovered, dead and dense features.

Loss recovered as in Bricken et al. (2023), "Towards Monosemanticity", between zero ablation and the clean loss.
"""

from collections.abc import Collection
from functools import partial

import numpy as np
import torch

from ..encoder.encoder import Encoder
from ..encoder.reconstruction import reconstruct
from ..kernels.parallel import run_all
from ..results import DENSE_ABOVE, Summary
from ..store.sums import CorpusSums
from ..subject import Subject

LOSS_ROWS = 64  # at most, that the three losses are measured on: each takes three times the logits of all its tokens
FEW_ROWS = 32  # at least; between them one row in 64
ROWS_AT_ONCE = 8


def sae_summary(plan, sums: CorpusSums, counts: np.ndarray, losses: np.ndarray, seed: int) -> Summary:
    """From a ShardPlan, its sums, each feature's active tokens [d_sae], and what `losses` returned [4].

    Same as reference.l0 and reference.dead_and_dense: exact, of whole numbers.
    """
    loss_tokens = int(losses[3])
    # NaN where there were no predictions: no loss is not a loss of 0.
    clean, reconstructed, zero = (losses[:3] / (loss_tokens or np.nan)).tolist()
    return Summary(
        tokens=sums.tokens,
        rows=plan.used_rows,
        l0=float(counts.sum() / max(sums.tokens, 1)),
        explained_variance=sums.explained_variance,
        loss_clean=clean,
        loss_reconstructed=reconstructed,
        loss_zero_ablated=zero,
        loss_tokens=loss_tokens,
        dead=int((counts == 0).sum()),
        dense=int((counts > DENSE_ABOVE * sums.tokens).sum()),
        seed=seed,
        versions={"torch": torch.__version__, "numpy": np.__version__},
    )


def loss_rows(used_rows: int) -> np.ndarray:
    """The rows that losses are measured on: spread evenly, the same however the corpus is cut. [n] int64"""
    # One row in 64, between the two bounds, at equal distances from the first on.
    count = min(max(FEW_ROWS, used_rows // 64), LOSS_ROWS)
    return np.arange(0, used_rows, max(1, used_rows // count))[:count]


def losses(
    subject: Subject, encoder: Encoder, rows: np.ndarray, uncounted: Collection[int] | None = None
) -> np.ndarray:
    """Sums of the loss over predicted tokens: clean, with the hook's activations reconstructed, with them zero; and
    the number of tokens. `uncounted` ids, if not given the special ones, are no predictions. Same as reference.losses:
    float32 rounding. No token where the model's losses could not be read. [4] float64"""
    if subject.why_no_losses:
        return np.zeros(4)
    uncounted = subject.vocabulary.special if uncounted is None else uncounted
    cores = torch.get_num_threads() if subject.device.type == "cpu" else 1
    size = max(1, min(ROWS_AT_ONCE, -(-len(rows) // cores)))  # work for every core
    batches = [rows[start : start + size] for start in range(0, len(rows), size)]
    tasks = [partial(_losses, subject, encoder, batch, uncounted) for batch in batches]
    return sum(run_all(tasks, subject.device), np.zeros(4))


@torch.no_grad()
def _losses(subject: Subject, encoder: Encoder, rows: np.ndarray, uncounted: Collection[int]) -> np.ndarray:
    skipped = torch.tensor(sorted(uncounted), device=subject.device, dtype=torch.long)
    ids = subject.tokens(rows.astype(np.int64))
    # Position t predicts the token at t + 1: the last position predicts nothing.
    targets = ids[:, 1:].flatten()  # [n]
    counted = ~torch.isin(targets, skipped)
    sums = []
    for replace in (None, lambda h: _reconstruction(encoder, h), torch.zeros_like):
        x = _residual(subject, ids, replace)[:, :-1].flatten(0, 1)
        sums.append(float(subject.model.unembedding.losses(x[counted], targets[counted]).double().sum()))
    return np.array([*sums, int(counted.sum())], float)


def _reconstruction(encoder: Encoder, h):
    flat = h.flatten(0, -2).float()  # [tokens, d_in]
    return reconstruct(encoder.sae, flat, *encoder(flat)).view(h.shape)


def _residual(subject: Subject, ids, replace):
    if replace is None:
        return subject.model.activations_and_residual(ids, subject.hook_point)[1]
    return subject.model.residual_with(ids, subject.hook_point, replace)
