"""Figures of a whole SAE on a corpus: L0, explained variance, loss recovered, dead and dense features.

Loss recovered as in Bricken et al. (2023), "Towards Monosemanticity", between zero ablation and the clean loss, with
a percentile bootstrap over rows (Efron, 1979): the tokens of a row are not independent.
"""

from collections.abc import Callable, Collection
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..encoder.encoder import Encoder
from ..encoder.reconstruction import reconstruct
from ..kernels.parallel import run_all
from ..model.verdict import CHECKED
from ..results import DENSE_ABOVE, Summary
from ..store.sums import CorpusSums
from ..subject import Subject

ROWS_AT_ONCE = 8
DRAWS = 2000  # of rows, for intervals


def sae_summary(plan, sums: CorpusSums, counts: np.ndarray, losses: np.ndarray, seed: int) -> Summary:
    """From a ShardPlan, its sums, each feature's active tokens [d_sae], and what `losses_by_row` returned [rows, 4].

    Same as reference.l0 and reference.dead_and_dense: exact, of whole numbers.
    """
    return Summary(
        tokens=sums.tokens,
        rows=plan.used_rows,
        l0=float(counts.sum() / max(sums.tokens, 1)),
        explained_variance=sums.explained_variance,
        **loss_figures(losses),
        dead=int((counts == 0).sum()),
        dense=int((counts > DENSE_ABOVE * sums.tokens).sum()),
        seed=seed,
        versions={"torch": torch.__version__, "numpy": np.__version__, "model check": CHECKED},
    )


def loss_figures(losses: np.ndarray) -> dict[str, float]:
    """What a Summary says of losses by row [n, 4]: their means, on how much they rest, and how sure what follows is."""
    *totals, loss_tokens = losses.sum(0).tolist()
    # NaN where there were no predictions: no loss is not a loss of 0.
    clean, reconstructed, zero = (total / (loss_tokens or np.nan) for total in totals)
    recovered_margin, cost_margin = _margins(losses)
    return {
        "loss_clean": clean,
        "loss_reconstructed": reconstructed,
        "loss_zero_ablated": zero,
        "loss_tokens": int(loss_tokens),
        "loss_rows": len(losses),
        "loss_recovered_margin": recovered_margin,
        "loss_cost_margin": cost_margin,
    }


def loss_rows(used_rows: int, most: int) -> np.ndarray:
    """The rows that losses are measured on, at most so many: drawn evenly, the same however the corpus is cut. [n]
    int64"""
    count = min(used_rows, most)
    # At equal distances from the first on: row n of them lies n / count of the way.
    return np.arange(count) * used_rows // max(count, 1)


def _margins(losses: np.ndarray) -> tuple[float, float]:
    """What stands behind "+-" of loss recovered and of the cost of reconstruction, from losses by row [n, 4]; NaN where
    there are too few rows to say. Same as reference.bootstrap_margin: exact."""
    if len(losses) < 2:
        return float("nan"), float("nan")
    times = np.random.default_rng(0).multinomial(len(losses), np.full(len(losses), 1 / len(losses)), DRAWS)
    clean, reconstructed, zero, tokens = (times @ losses).T  # [DRAWS] each: sums over the rows that were drawn
    with np.errstate(divide="ignore", invalid="ignore"):
        draws = np.stack([(zero - reconstructed) / (zero - clean), (reconstructed - clean) / tokens])  # [2, DRAWS]
    low, high = np.quantile(draws, [0.025, 0.975], axis=1)
    return tuple(((high - low) / 2).tolist())


def losses(
    subject: Subject, encoder: Encoder, rows: np.ndarray, uncounted: Collection[int] | None = None
) -> np.ndarray:
    """Sums over all rows of what `losses_by_row` gives. [4] float64"""
    return losses_by_row(subject, encoder, rows, uncounted).sum(0)


def losses_by_row(
    subject: Subject,
    encoder: Encoder,
    rows: np.ndarray,
    uncounted: Collection[int] | None = None,
    baselines: np.ndarray | None = None,
    rebuilt: Callable[[range, Tensor], Tensor] | None = None,
) -> np.ndarray:
    """Of each row the sums of the loss over its predicted tokens: clean, with the hook's activations reconstructed,
    with them zero; and the number of tokens. `uncounted` ids, if not given the special ones, are no predictions;
    `baselines`: clean and zero losses [rows, 2] where they are known, which are not measured again;
    `rebuilt(places, h)`: the reconstruction of these rows, where entries are known already.
    Same as reference.losses: float32 rounding. No row where the model's losses could not be read. [rows, 4]"""
    if subject.why_no_losses:
        return np.zeros((0, 4))
    uncounted = subject.vocabulary.special if uncounted is None else uncounted
    cores = torch.get_num_threads() if subject.device.type == "cpu" else 1
    size = max(1, min(ROWS_AT_ONCE, -(-len(rows) // cores)))  # work for every core
    batches = [rows[start : start + size] for start in range(0, len(rows), size)]
    rebuild = [partial(_reconstruction, encoder) for _ in batches]
    if rebuilt:
        rebuild = [partial(rebuilt, range(size * n, size * n + len(batch))) for n, batch in enumerate(batches)]
    wanted = [rebuild] if baselines is not None else [[None] * len(batches), rebuild, [torch.zeros_like] * len(batches)]
    tasks = [partial(_losses, subject, batch, uncounted, each) for batch, *each in zip(batches, *wanted, strict=True)]
    found = np.concatenate([np.empty((0, len(wanted) + 1)), *run_all(tasks, subject.device)])
    if baselines is None:
        return found
    reconstructed, tokens = found.T  # [rows] each
    return np.stack([baselines[:, 0], reconstructed, baselines[:, 1], tokens], 1)


@torch.no_grad()
def losses_by_token(subject: Subject, encoder: Encoder, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Loss of every token but the first of each row, as it is and with the hook's activations reconstructed.
    [rows, length - 1] float32 twice"""
    batches = []
    for start in range(0, len(rows), ROWS_AT_ONCE):
        ids = subject.tokens(rows[start : start + ROWS_AT_ONCE].astype(np.int64))
        targets, both = ids[:, 1:].flatten(), []
        for replace in (None, lambda h: _reconstruction(encoder, h)):
            x = _residual(subject, ids, replace)[:, :-1].flatten(0, 1)
            both.append(subject.model.unembedding.losses(x, targets).view(len(ids), -1).cpu().numpy())
        batches.append(both)
    return tuple(np.concatenate(parts) for parts in zip(*batches, strict=True))


@torch.no_grad()
def _losses(subject: Subject, rows: np.ndarray, uncounted: Collection[int], replacements: list) -> np.ndarray:
    """With each replacement of the hook's activations (none: as they are), and the number of tokens. [rows, n + 1]"""
    skipped = torch.tensor(sorted(uncounted), device=subject.device, dtype=torch.long)
    ids = subject.tokens(rows.astype(np.int64))
    # Position t predicts the token at t + 1: the last position predicts nothing.
    targets = ids[:, 1:].flatten()  # [n]
    counted = ~torch.isin(targets, skipped)
    # The row of each prediction: every row makes as many.
    row = np.repeat(np.arange(len(rows)), ids.shape[1] - 1)[counted.cpu().numpy()]  # [counted]
    sums = []
    for replace in replacements:
        x = _residual(subject, ids, replace)[:, :-1].flatten(0, 1)
        by_token = subject.model.unembedding.losses(x[counted], targets[counted]).cpu().numpy()  # [counted]
        sums.append(np.bincount(row, by_token.astype(np.float64), minlength=len(rows)))
    return np.stack([*sums, np.bincount(row, minlength=len(rows))], 1)


def _reconstruction(encoder: Encoder, h):
    flat = h.flatten(0, -2).float()  # [tokens, d_in]
    return reconstruct(encoder.sae, flat, *encoder(flat)).view(h.shape)


def _residual(subject: Subject, ids, replace):
    if replace is None:
        return subject.model.activations_and_residual(ids, subject.hook_point)[1]
    return subject.model.residual_with(ids, subject.hook_point, replace)
