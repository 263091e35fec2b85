"""Are the stored activations those of the files? Random ones are computed anew and held beside them.

The outcome is a dict in the SAE's row: {"state": "queued" | "done" | "failed", ...}.
"""

import logging

import numpy as np
from django.conf import settings
from django.utils import timezone

from .. import messages
from ..models import SAE, Feature
from ..storage.payload import unpack
from ..storage.readers import rows_of
from . import lifecycle

log = logging.getLogger(__name__)

TASK = "features.verify"
FEATURES, PER_FEATURE = 40, 5
CLOSE = 1e-3  # of an activation's size: float32 on another device or with other batches


def request_verification(sae: SAE) -> str:
    """Queue it; returns what to tell the user. ValueError where there is nothing to verify."""
    if sae.statistics_id is None:
        raise ValueError(f"{sae} has no statistics yet; there is nothing to verify.")
    _write(sae, {"state": "queued", "asked": _now()})
    if not lifecycle.send(TASK, sae.pk):
        _write(sae, {"state": "failed", "error": "The queue cannot be reached now. Try again."})
        return "The queue cannot be reached now. Try again."
    return "Verification is queued; reload the page in some seconds."


def run_verification(sae_id: int) -> None:
    sae = SAE.objects.for_pages().get(pk=sae_id)
    try:
        _write(sae, verify(sae))
    except Exception as error:  # whatever a file or a library does: the page says it
        log.exception("Verification of %s failed", sae.slug)
        _write(sae, {"state": "failed", "error": messages.sentence(error), "when": _now()})


def verify(sae: SAE, seed: int | None = None) -> dict:
    """Recompute some stored activations of some random features from their tokens."""
    from ..engine.self_check import recompute
    from ..engine.subject import Subject

    rng = np.random.default_rng(seed)
    features, rows, positions, stored = _stored(sae, rng)
    subject = Subject.load(
        sae.model_path, sae.path, sae.hook_point, device=settings.SAEVIZ_DEVICE, answers=sae.answers or None
    )
    found = recompute(subject, rows_of(sae.statistics.corpus), features, rows, positions)
    apart = np.abs(found - stored)
    worst = int(apart.argmax())
    return {
        "state": "done",
        "when": _now(),
        "activations": len(stored),
        "features": len(np.unique(features)),
        "largest_difference": float(apart[worst]),
        "feature": int(features[worst]),
        "stored": float(stored[worst]),
        "recomputed": float(found[worst]),
        "passed": bool((apart <= CLOSE * np.maximum(1, np.abs(stored))).all()),
    }


def _stored(sae: SAE, rng):
    """(features, corpus rows, positions, activations) of random stored activations. ValueError where none are."""
    alive = list(Feature.objects.shown_of(sae).alive().values_list("index", flat=True))
    if not alive:
        raise ValueError("Every feature is dead on these tokens: no activation is stored.")
    chosen = rng.choice(alive, min(FEATURES, len(alive)), replace=False)
    found = [_of_feature(row, rng) for row in Feature.objects.shown_of(sae).filter(index__in=chosen.tolist())]
    return [np.concatenate(parts) for parts in zip(*found, strict=True)]


def _of_feature(feature, rng):
    shown = unpack(feature.payload).shown
    at = rng.choice(len(shown.positions), min(PER_FEATURE, len(shown.positions)), replace=False)
    rows = shown.rows[np.searchsorted(shown.starts, at, side="right") - 1]
    return np.full(len(at), feature.index), rows, shown.positions[at].astype(np.int64), shown.activations[at]


def _write(sae: SAE, outcome: dict) -> None:
    SAE.objects.filter(pk=sae.pk).update(verification=outcome)


def _now() -> str:
    return timezone.now().isoformat(timespec="seconds")
