"""One pass over the corpus for all features at once: rows of tokens in, figures of every feature out."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from .collected import Collected, Report
from .correlations import Batch, ProductSums
from .encoding import Scratch, active_entries
from .entries import ActiveEntries
from .examples import Grid
from .results import Progress
from .subject import Subject
from .threads import side_by_side

BATCH_BYTES = 128 << 20  # of dense feature activations held at a time
FORWARD_TOKENS = 2048  # through the model at a time: its activations stay in the cache


class NotEnoughTokens(ValueError):
    """More tokens were asked for than the corpus has."""


def collect(
    subject: Subject,
    rows: np.ndarray,
    *,
    tokens: int,
    bos: bool = True,
    seed: int = 0,
    features: list[int] | None = None,
    progress: Callable[[Progress], None] | None = None,
    batch_rows: int | None = None,
) -> Collected:
    """Statistics of all features (or of `features`) on the first rows that hold `tokens` counted tokens.

    rows [n, length] token ids, each starting with BOS if `bos`. Special tokens are not counted. `progress` is
    called about twice a second and may raise to stop. Raises NotEnoughTokens.
    """
    counted = counted_tokens(rows, subject.vocabulary.special)
    used = rows[: rows_needed(counted, tokens)]
    report = Report(progress)
    entries = ActiveEntries(subject.d_sae)
    sums = ProductSums(subject.d_sae, subject.sae.config.d_in, subject.device)
    grid = Grid(used, int(bos))
    total = int(counted[: len(used)].sum())
    step = batch_rows or max(1, BATCH_BYTES // (4 * subject.d_sae * rows.shape[1]))
    scratch = Scratch()
    work = (
        partial(_batch, subject, grid, start, used[start : start + step], scratch)
        for start in range(0, len(used), step)
    )
    with side_by_side(subject.device) as run:
        for start, batch, places in run(work):
            report("activations", sums.tokens, total)
            sums.update(batch)
            found = (_numpy(part) for part in (batch.counts, places[batch.tokens], batch.values))
            entries.append(start * grid.width, *found)
    report("activations", total, total, always=True)
    return Collected(subject, grid, entries, sums, seed, features, report)


def counted_tokens(rows: np.ndarray, special: set[int]) -> np.ndarray:
    """Tokens of each row that are counted: all but special ones. [n] int64"""
    return (~np.isin(rows, sorted(special))).sum(1) if special else np.full(len(rows), rows.shape[1])


def rows_needed(counted: np.ndarray, tokens: int) -> int:
    """How many first rows hold `tokens` counted tokens. Raises NotEnoughTokens."""
    reached = np.cumsum(counted)
    if not len(reached) or tokens > reached[-1]:
        has = int(reached[-1]) if len(reached) else 0
        raise NotEnoughTokens(f"Asked for {tokens:,} tokens; the corpus has {has:,}. Ask for fewer.")
    return int(np.searchsorted(reached, max(tokens, 1))) + 1


@torch.no_grad()
def _batch(subject: Subject, grid: Grid, first: int, rows: np.ndarray, scratch: Scratch) -> tuple[int, Batch, Tensor]:
    """The first row, active entries of the rows' counted tokens, and each of those tokens' place among the rows'."""
    ids = subject.tokens(rows.astype(np.int64))
    few = max(1, FORWARD_TOKENS // ids.shape[1])
    hook = torch.cat([subject.activations(part)[:, grid.first :].flatten(0, 1) for part in ids.split(few)])
    special = torch.tensor(sorted(subject.vocabulary.special), device=ids.device, dtype=torch.long)
    places = (~torch.isin(ids[:, grid.first :].flatten(), special)).nonzero().squeeze(1)
    if len(places) < len(hook):
        hook = hook[places]
    found = active_entries(subject.sae, hook, scratch.of(subject.d_sae * len(hook), hook))
    return first, Batch(*found, hook, subject.d_sae), places


def _numpy(values: Tensor) -> np.ndarray:
    return values.cpu().numpy()
