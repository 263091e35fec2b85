"""What can be read of every feature as soon as a checkpoint's health is known? What its pass over the rows has left."""

from dataclasses import replace

from django.db.models import Q

from ..engine.results import Health
from ..models import SAE, Checkpoint, Judgement, Run
from ..storage import write
from . import panels
from .claims.held import claims_of

AT_ONCE = 500  # features made and written at a time
MOST_WITH_EFFECTS = 64  # features that have loss effects at their top activations already: those that somebody follows


def are_due(checkpoint: Checkpoint) -> bool:
    """Whether its pages come from the run's rows, are kept, and nothing of these weights is shown whole."""
    sae = SAE.objects.select_related("statistics").get(pk=checkpoint.sae_id)
    if sae.corpus_id != checkpoint.run.rows_id or not panels.keeps(checkpoint):
        return False
    shown = sae.statistics
    return write.wants_quick_results(sae) and not (shown and shown.is_of(sae) and shown.health and shown.completed)


def followed(run: Run) -> list[int]:
    """Features that somebody starred at any of its checkpoints, then those that something is claimed of; by index, as
    they keep it within a run."""
    hashes = SAE.objects.filter(Q(checkpoints__run=run) | Q(path__in=run.checkpoints.values("path")))
    starred = Judgement.objects.filter(weights__in=hashes.values("checkpoint_hash"), star=True, index__lt=run.d_sae)
    starred = starred.order_by("index").values_list("index", flat=True)
    return list(dict.fromkeys([*starred, *(claim.index for claim in claims_of(run))]))


def show(lease, checkpoint: Checkpoint, reading, health: Health) -> None:
    """Pages of all features, called quick until a computation of panels replaces them: examples, densities, histograms
    and logits as it will have them; no other features, and loss effects of those alone that somebody follows, which
    come first. Nothing where better is shown already. `reading`: engine/training/rows_pass.py. Raises LeaseLost."""
    from ..engine.training.single_features import single_features  # brings torch
    from ..engine.weights.summary import sae_summary

    sae, counts = checkpoint.sae, reading.entries.counts
    lease.phase("first pages", 0, sae.d_sae)
    summary = sae_summary(reading.plan, reading.sums, counts, reading.losses, seed=0)
    summary = replace(summary, health=health)
    first = sorted(followed(checkpoint.run)[:MOST_WITH_EFFECTS])
    made = list(single_features(reading, first, first)) if first else []
    statistics = write.show_quick(lease, summary, made, of=(sae, sae.corpus, None))
    if statistics is None:
        return
    others = [index for index in range(sae.d_sae) if index not in set(first)]
    for start in range(0, len(others), AT_ONCE):
        write.add_quick(lease, statistics, single_features(reading, others[start : start + AT_ONCE]))
        lease.phase("first pages", min(start + AT_ONCE, len(others)) + len(first), sae.d_sae)
    write.complete_quick(lease, statistics, summary)
