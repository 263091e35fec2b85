"""What can be read of every feature as soon as a checkpoint's health is known? What its pass over the rows has left."""

from dataclasses import replace

from ..engine.results import Health
from ..models import Checkpoint
from ..storage import write

AT_ONCE = 500  # features made and written at a time


def show(lease, checkpoint: Checkpoint, reading, health: Health) -> None:
    """Pages of all features, called quick until a computation of panels replaces them: examples, densities, histograms
    and logits as it will have them; no loss effects, and no other features. Nothing where better is shown already.
    `reading`: engine/training/rows_pass.py. Raises LeaseLost."""
    from ..engine.training.single_features import single_features  # brings torch
    from ..engine.weights.summary import sae_summary

    sae, counts = checkpoint.sae, reading.entries.counts
    lease.phase("first pages", 0, sae.d_sae)
    summary = sae_summary(reading.plan, reading.sums, counts, reading.losses, seed=0)
    summary = replace(summary, health=health)
    statistics = write.show_quick(lease, summary, (), of=(sae, sae.corpus, None))
    if statistics is None:
        return
    for start in range(0, sae.d_sae, AT_ONCE):
        block = range(start, min(start + AT_ONCE, sae.d_sae))
        write.add_quick(lease, statistics, single_features(reading, block))
        lease.phase("first pages", block.stop, sae.d_sae)
    write.complete_quick(lease, statistics, summary)
