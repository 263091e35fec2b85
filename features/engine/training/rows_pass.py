"""One checkpoint's pass over the rows of its run: what is active, and losses."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from ..activity import strongest
from ..activity.top_examples import TokenLayout
from ..collect import shards
from ..collect.collected import ThrottledProgress
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


@dataclass(frozen=True)
class FirstLook:
    """What is told of a pass when an even share of the rows is read, and how much that is."""

    tokens: int  # about, that the share is to hold; no look where it were more than half of all
    tell: Callable[[RowsReading, RowsReading], None]  # of the share alone; the same, where it lies in the rows


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
    look: FirstLook | None = None,
) -> RowsReading:
    """All of `rows` [n, length] through the model and the SAE; entries lie in `folder` while what is returned is used,
    in `kept` what other checkpoints can use (kept_rows.py). `progress` may raise to stop. `look` hears of a share of
    the rows first, and these are not read twice; on a GPU, which is quick, of none. Raises NotEnoughTokens where no
    token counts."""
    special = subject.vocabulary.special
    tokens = max(1, int(counted_tokens(rows[:, int(bos) + skipped :], special).sum()))
    plan = shards.plan_shards(
        rows, tokens=tokens, bos=bos, special=special, skipped=skipped, shard_tokens=rows.size, loss_rows=0
    )
    used = np.asarray(rows[: plan.used_rows])
    measured = summary.loss_rows(plan.used_rows, QUICK_LOSS_ROWS)
    with kept_rows(subject, used, kept) as knowing:
        shard_pass = ShardPass(knowing, plan.first, None, screen, with_products=False)
        ahead = share_of(plan, look.tokens) if look and subject.device.type == "cpu" else []
        if ahead:
            parts = _Parts(shard_pass, used, plan, folder, ThrottledProgress(progress))
            parts.read(ahead)
            look.tell(*_of_share(parts, measured, kept))
            parts.read([start for start in range(0, plan.used_rows, plan.rows_per_chunk) if start not in ahead])
            entries, sums = parts.entries, parts.sums
        else:
            shards.collect_shard(shard_pass, rows, plan, 0, folder, progress=progress)
            shard = shards.shard_folder(folder, 0)
            entries, sums = ActiveEntries([shard / ENCODERS[0]]), CorpusSums.load(shard)
    rebuilt = RebuiltRows(shard_pass.encoders[0], entries, TokenLayout(used, plan.first), special, measured)
    losses = losses_on(knowing, rebuilt, used[measured], kept)
    return RowsReading(knowing, used, plan, shard_pass, entries, sums, losses)


def share_of(plan: shards.ShardPlan, tokens: int) -> list[int]:
    """First rows of chunks that hold about so many tokens, spread evenly; none where that is more than half of all."""
    starts = range(0, plan.used_rows, plan.rows_per_chunk)
    wanted = -(-tokens * len(starts) // max(1, plan.tokens))  # rounded up
    # At equal distances: chunk n of the share lies n / wanted of the way.
    return [starts[n * len(starts) // wanted] for n in range(wanted)] if 2 * wanted <= len(starts) else []


class _Parts:
    """A pass whose chunks are read in more than one go."""

    def __init__(self, shard_pass: ShardPass, rows, plan: shards.ShardPlan, folder: Path, progress):
        self.shard_pass, self.rows, self.plan, self.folder, self.progress = shard_pass, rows, plan, folder, progress
        self.found, self.folders, self.done = {}, [], 0

    def read(self, starts: list[int]) -> None:
        """Chunks that begin at these rows, beside those that are read."""
        self.folders.append(self.folder / f"part-{len(self.folders)}")
        self.found |= self.shard_pass.read_chunks(
            self.rows, starts, self.plan.rows_per_chunk, self.folders[-1], self._add
        )

    def _add(self, tokens: int) -> None:
        self.done += tokens
        self.progress("activations", self.done, self.plan.tokens, always=self.done == self.plan.tokens)

    @property
    def entries(self) -> ActiveEntries:
        return ActiveEntries(each / ENCODERS[0] for each in self.folders)

    @property
    def sums(self) -> CorpusSums:
        return self.shard_pass.summed(self.found)


def _of_share(parts: _Parts, measured: np.ndarray, kept: Path | None) -> tuple[RowsReading, RowsReading]:
    """Of the chunks read so far, as FirstLook.tell hears of them; losses on the `measured` rows [n] among theirs."""
    shard_pass, plan, sums, entries = parts.shard_pass, parts.plan, parts.sums, parts.entries
    size, width = plan.rows_per_chunk, parts.rows.shape[1] - plan.first
    spans = [np.arange(start, min(start + size, plan.used_rows)) for start in sorted(parts.found)]
    rows = np.concatenate(spans)
    # Row n of the share is the n-th of these rows: its chunks lie one behind the other, without what is between.
    ends = np.cumsum([len(span) for span in spans])
    # A chunk goes by its first token: `width` a row in front of it, of the corpus there, of the share here.
    firsts = {int(span[0]) * width: int(end - len(span)) * width for span, end in zip(spans, ends, strict=True)}
    at = np.flatnonzero(np.isin(measured, rows))
    layout, special = TokenLayout(parts.rows, plan.first), shard_pass.subject.vocabulary.special
    rebuilt = RebuiltRows(shard_pass.encoders[0], entries, layout, special, measured[at])
    losses = losses_on(shard_pass.subject, rebuilt, parts.rows[measured[at]], kept, at, len(measured))
    of = {"subject": shard_pass.subject, "shard_pass": shard_pass, "sums": sums, "losses": losses}
    there = replace(plan, tokens=sums.tokens)
    alone = replace(there, spans=((0, len(rows)),))
    return (
        RowsReading(rows=parts.rows[rows], plan=alone, entries=entries.renumbered(firsts), **of),
        RowsReading(rows=parts.rows, plan=there, entries=entries, **of),
    )
