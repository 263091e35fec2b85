"""How does what is worked out after statistics are shown get into their rows, and out again?

One step at a time, in batches of features: figures that are sorted by into their columns, the rest beside them as JSON
in zlib. A step counts as done when its version stands in the set's row; broken off, it is begun anew, and readers see
what is there.
"""

import json
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from django.db import transaction

from ..models import Feature, FeatureAnalysis, FeatureFlag, Statistics
from ..storage.payload import decompressed

BATCH = 500  # features in one transaction, so that no other writer waits long


def write_step(
    lease,
    statistics: Statistics,
    step: str,
    columns: Mapping[str, np.ndarray] | None = None,
    payloads: Sequence[dict | None] | None = None,
    flags: Mapping[FeatureFlag, np.ndarray] | None = None,
) -> None:
    """Of each feature [d_sae] values of some columns (NaN: none), a dict that its page draws (None: nothing), and
    whether each of some flags is said of it. Raises LeaseLost before anything of a batch is written."""
    columns, flags = columns or {}, flags or {}
    size = len(payloads if payloads is not None else next(iter(columns.values())))
    for first in range(0, size, BATCH):
        lease.phase("writing figures", first, size)
        with transaction.atomic():
            lease.check()
            Statistics.objects.select_for_update().get(pk=statistics.pk)  # who replaces rows waits
            _write(statistics, step, range(first, min(first + BATCH, size)), columns, payloads, flags)


def _write(statistics, step, indices, columns, payloads, flags) -> None:
    rows = Feature.objects.filter(statistics=statistics, index__range=(indices[0], indices[-1]))
    features = list(rows.only("pk", "index", "flags"))
    for feature in features:
        for name, values in columns.items():
            value = float(values[feature.index])
            setattr(feature, name, value if np.isfinite(value) else None)
        for flag, holds in flags.items():
            feature.flags = (feature.flags or 0) & ~flag | flag * bool(holds[feature.index])
    if changed := [*columns, *["flags"] * bool(flags)]:
        Feature.objects.bulk_update(features, changed)
    FeatureAnalysis.objects.filter(feature__in=features, step=step).delete()
    FeatureAnalysis.objects.bulk_create(
        FeatureAnalysis(
            feature=feature,
            step=step,
            payload=packed(payloads[feature.index]),
        )
        for feature in features
        if payloads is not None and payloads[feature.index] is not None
    )


def finish_step(lease, statistics: Statistics, step: str, version: int, of_sae: dict | None = None) -> None:
    """A step is done, and `of_sae` is what it says of the SAE as a whole."""
    with transaction.atomic():
        lease.check()
        row = Statistics.objects.select_for_update().get(pk=statistics.pk)
        row.analysed |= {step: version}
        if of_sae is not None:
            row.analysis |= {step: of_sae}
        row.save(update_fields=["analysed", "analysis"])
        statistics.analysed, statistics.analysis = row.analysed, row.analysis


def packed(found: dict) -> bytes:
    return zlib.compress(json.dumps(found, separators=(",", ":"), allow_nan=False).encode(), 6)


def unpacked(payload: bytes) -> dict:
    return json.loads(decompressed(payload))


def analyses_of(feature: Feature) -> dict[str, dict]:
    """What each step found of a feature. Raises ValueError."""
    return {step: unpacked(payload) for step, payload in feature.analyses.values_list("step", "payload")}
