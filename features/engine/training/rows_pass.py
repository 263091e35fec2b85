"""One checkpoint's pass over the rows of its run: what is active, and losses."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ..activity import strongest
from ..activity.top_examples import TokenLayout
from ..collect import shards
from ..collect.shard_pass import ENCODERS, ShardPass
from ..corpus.token_rows import counted_tokens
from ..results import QUICK_LOSS_ROWS, Progress
from ..store.active_entries import ActiveEntries
from ..store.sums import CorpusSums
from ..subject import Subject
from ..weights import summary
from ..weights.health import encoder_decoder_cosine
from .kept_rows import kept_rows, losses_on
from .rebuilt_rows import RebuiltRows


@dataclass(frozen=True)
class RowsReading:
    """What a pass over the rows left: enough for all figures."""

    subject: Subject
    rows: np.ndarray  # [rows, length]
    plan: shards.ShardPlan
    shard_pass: ShardPass
    entries: ActiveEntries
    sums: CorpusSums
    losses: np.ndarray  # [rows measured, 4]

    @property
    def layout(self) -> TokenLayout:
        return TokenLayout(np.asarray(self.rows), self.plan.first)

    @cached_property
    def strongest(self) -> strongest.Strongest:
        """Positions of all features, one a row."""
        return strongest.strongest(self.entries, self.layout, np.arange(len(self.rows)))

    @cached_property
    def encoder_decoder(self) -> np.ndarray:
        """Cosine of each feature's encoder column and decoder row. [d_sae]"""
        return encoder_decoder_cosine(self.subject.sae)


def read_rows(
    subject: Subject,
    rows: np.ndarray,
    folder: Path,
    *,
    bos: bool,
    skipped: int = 0,
    screen: str = "auto",
    kept: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> RowsReading:
    """All of `rows` [n, length] through the model and the SAE; entries lie in `folder` while the Reading is used, and
    in `kept` what other checkpoints can use (kept_rows.py). `progress` may raise to stop. Raises NotEnoughTokens where
    no token counts."""
    special = subject.vocabulary.special
    tokens = max(1, int(counted_tokens(rows[:, int(bos) + skipped :], special).sum()))
    plan = shards.plan_shards(
        rows, tokens=tokens, bos=bos, special=special, skipped=skipped, shard_tokens=rows.size, loss_rows=0
    )
    used = np.asarray(rows[: plan.used_rows])
    with kept_rows(subject, used, kept) as knowing:
        shard_pass = ShardPass(knowing, plan.first, None, screen, with_products=False)
        shards.collect_shard(shard_pass, rows, plan, 0, folder, progress=progress)
    shard = shards.shard_folder(folder, 0)
    entries, sums = ActiveEntries([shard / ENCODERS[0]]), CorpusSums.load(shard)
    measured = summary.loss_rows(plan.used_rows, QUICK_LOSS_ROWS)
    rebuilt = RebuiltRows(shard_pass.encoders[0], entries, TokenLayout(used, plan.first), special, measured)
    losses = losses_on(knowing, rebuilt, used[measured], kept)
    return RowsReading(knowing, used, plan, shard_pass, entries, sums, losses)
