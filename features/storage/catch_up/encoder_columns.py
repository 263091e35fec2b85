"""Columns of a feature that follow from its encoder: length, cosine with its decoder, the direction shared with others.

They are written with the features. Those of statistics that earlier versions wrote are made from the weights by a
worker, a batch at a time, to be interrupted anywhere; who is in a swarm is not known there without a computation.
"""

import logging

import numpy as np
from django.db import transaction

from ...engine.results import Encoders
from ...models import SAE, Feature, FeatureFlag
from ..readers import autoencoder_of

log = logging.getLogger(__name__)
BATCH = 500  # features: no other writer waits long
COLUMNS = ("encoder_norm", "encoder_cosine", "flags")


def set_columns(row: Feature, encoders: Encoders) -> None:
    """Of a row that is not saved; flags of other kinds stay."""
    cosine = float(encoders.cosines[row.index])
    row.encoder_norm = float(encoders.norms[row.index])
    row.encoder_cosine = cosine if np.isfinite(cosine) else None
    flags = row.flags or 0
    for flag, members in ((FeatureFlag.SWARM, encoders.swarm), (FeatureFlag.COMMON_DIRECTION, encoders.common)):
        if members is not None:
            flags = flags | flag if members[row.index] else flags & ~flag
    row.flags = int(flags)


# Statistics of earlier versions


def unfilled():
    """Features that pages show, of complete sets, without their encoder's figures."""
    shown = Feature.objects.filter(statistics__in=SAE.objects.exclude(statistics=None).values("statistics"))
    return shown.filter(encoder_norm=None).exclude(statistics__completed=None)


def fill_all() -> None:
    for sae in SAE.objects.filter(pk__in=unfilled().values("statistics__sae")).select_related("statistics"):
        if not sae.statistics.is_of(sae):
            continue
        try:
            _fill(sae)
        except (ValueError, OSError) as problem:  # weights that are gone or cannot be read: the columns stay empty
            log.warning("The encoder's figures of %s are not filled in: %s", sae, problem)


def _fill(sae: SAE) -> None:
    from ...engine.weights.health import encoders  # and torch with it

    rows = Feature.objects.filter(statistics=sae.statistics)
    alive = np.fromiter(rows.filter(count__gt=0).values_list("index", flat=True), np.int64)
    found = encoders(autoencoder_of(sae), np.sort(alive))
    last = -1
    while batch := list(
        rows.filter(encoder_norm=None, index__gt=last).order_by("index").only("index", "flags")[:BATCH]
    ):
        for row in batch:
            set_columns(row, found)
        with transaction.atomic():
            Feature.objects.bulk_update(batch, COLUMNS, batch_size=100)
        last = batch[-1].index
