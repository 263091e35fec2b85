"""Are the stored activations those of the files? Random ones are computed anew and held beside them.

What came of it is a dict in the SAE's row; how far it is, and why it failed, a Verification.
"""

import numpy as np
from django.db import transaction
from django.utils import timezone

from ..messages import BadRequest
from ..models import SAE, Feature, Verification
from ..storage.feature_rows import statistics_of
from ..storage.readers import rows_of, subject_of
from . import lifecycle

FEATURES, PER_FEATURE = 40, 5
CLOSE = 1e-3  # of an activation's size: float32 on another device or with other batches


def request_verification(sae: SAE, user=None, how: str = "") -> Verification:
    """Queue it, unless it is at work. Raises BadRequest where there is nothing to verify."""
    if sae.statistics_id is None:
        raise BadRequest(f"{sae} has no statistics yet; there is nothing to verify.")
    at_work = sae.verifications.unfinished().filter(cancel_requested=False).first()
    return at_work or lifecycle.enqueue(Verification(sae=sae, requested_by=user, requested_how=how))


def run_verification(lease) -> None:
    """Carry out a Verification that this process has the lease of."""
    sae = SAE.objects.for_pages().get(pk=lease.work.sae_id)
    lease.phase("recomputing activations")
    outcome = verify(sae)
    with transaction.atomic():
        lease.finish()
        SAE.objects.filter(pk=sae.pk).update(verification=outcome)


def verify(sae: SAE) -> dict:
    """Recompute some stored activations of some random features from their tokens.

    Returns how many, of how many features, the largest difference and where it is, and whether all are `CLOSE`.
    """
    from ..engine.self_check import recompute

    rng = np.random.default_rng()
    features, rows, positions, stored = _stored(sae, rng)
    recomputed = recompute(subject_of(sae), rows_of(sae.statistics.corpus), features, rows, positions)
    differences = np.abs(recomputed - stored)
    worst = int(differences.argmax())
    return {
        "state": "done",
        "when": timezone.now().isoformat(timespec="seconds"),
        "activations": len(stored),
        "features": len(np.unique(features)),
        "largest_difference": float(differences[worst]),
        "feature": int(features[worst]),
        "stored": float(stored[worst]),
        "recomputed": float(recomputed[worst]),
        "passed": bool((differences <= CLOSE * np.maximum(1, np.abs(stored))).all()),
    }


def _stored(sae: SAE, rng):
    """(features, corpus rows, positions, activations) of random stored activations. ValueError where none are."""
    alive = list(Feature.objects.shown_of(sae).alive().values_list("index", flat=True))
    if not alive:
        raise ValueError("Every feature is dead on these tokens: no activation is stored.")
    chosen = rng.choice(alive, min(FEATURES, len(alive)), replace=False)
    sampled = [
        _of_feature(row, rng) for row in Feature.objects.shown_of(sae).with_payloads().filter(index__in=chosen.tolist())
    ]
    return [np.concatenate(columns) for columns in zip(*sampled, strict=True)]


def _of_feature(feature, rng):
    shown = statistics_of(feature).shown
    entries = rng.choice(len(shown.positions), min(PER_FEATURE, len(shown.positions)), replace=False)
    rows = shown.rows[np.searchsorted(shown.starts, entries, side="right") - 1]
    positions = shown.positions[entries].astype(np.int64)
    return np.full(len(entries), feature.index), rows, positions, shown.activations[entries]
