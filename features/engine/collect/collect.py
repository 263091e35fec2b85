"""One pass over the corpus for all features at once, in this process: rows of tokens in, figures of features out."""

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from ..results import Progress
from ..sae.sae import SparseAutoencoder
from ..subject import Subject
from . import shards
from .collected import Collected
from .shard_pass import ShardPass


def collect(
    subject: Subject,
    rows: np.ndarray,
    *,
    tokens: int,
    bos: bool = True,
    skipped: int = 0,
    seed: int = 0,
    features: Iterable[int] | None = None,
    encoder_b: SparseAutoencoder | None = None,
    screen: str = "auto",
    progress: Callable[[Progress], None] | None = None,
    **sizes,
) -> Collected:
    """Statistics of all features (or of `features`) on the first rows that hold `tokens` counted tokens.

    rows [n, length] token ids, each starting with BOS if `bos`. Special tokens are not counted, nor are `skipped`
    positions after BOS. With `encoder_b`, another SAE on the same hook point, features are also correlated with its
    features. `screen` as in `Encoder`, `sizes` as in `shards.plan_shards`, but one shard where they name none.
    `progress` is called about twice a second and may raise to stop. Raises NotEnoughTokens.
    """
    # One shard for all rows: here no other process would take a second one.
    sizes = {"shard_tokens": rows.size, **sizes}
    plan = shards.plan_shards(
        rows, tokens=tokens, bos=bos, special=subject.vocabulary.special, skipped=skipped, **sizes
    )
    shard_progress = _of_all_shards(progress, plan) if progress else None
    # Shards and what is merged of them go through files here too: one way, whoever makes the parts.
    with tempfile.TemporaryDirectory() as name:
        folder, shard_pass = Path(name), ShardPass(subject, plan.first, encoder_b, screen)
        for number in range(len(plan.spans)):
            shards.collect_shard(shard_pass, rows, plan, number, folder, progress=shard_progress)
        del shard_pass  # the copies of the weights that it holds are not needed any more
        shards.merge(subject, rows, plan, folder, progress=progress)
        # Everything in the folder is mapped now: its names can go, so that a killed process leaves nothing behind.
        return shards.open_collected(
            subject, rows, plan, folder, seed=seed, features=features, encoder_b=encoder_b, progress=progress
        )


def _of_all_shards(progress: Callable[[Progress], None], plan: shards.ShardPlan) -> Callable[[Progress], None]:
    """What hears of single shards' progress and passes it on as that of them all."""
    before, last = 0, Progress("activations", 0, 0)

    def report(current: Progress) -> None:
        nonlocal before, last
        # Another total, or fewer tokens than before: the next shard has begun, and the last one is behind.
        if current.total != last.total or current.done < last.done:
            before += last.total
        last = current
        progress(Progress(current.phase, before + current.done, plan.tokens))

    return report
