"""Columns of a feature that follow from its encoder: length, cosine with its decoder, the direction shared with others.

They are written with the features. Those of statistics that earlier versions wrote are made from the weights by a
worker, a batch at a time, to be interrupted anywhere; who is in a swarm is not known there without a computation.
Weights that could not be read are tried again when their files are others.
"""

import logging
from pathlib import Path

import numpy as np
from django.db import transaction

from ...engine.results import Encoders
from ...engine.sae.reading.files import find_weights, weight_files
from ...models import SAE, Feature, FeatureFlag, Statistics
from ..readers import autoencoder_of

log = logging.getLogger(__name__)
BATCH = 500  # features: no other writer waits long
COLUMNS = ("encoder_norm", "encoder_cosine", "flags")
TRIED = "encoder columns tried"  # in a set's `analysis`: the look of the files that could not be read


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


def unfilled() -> list[SAE]:
    """SAEs that show a complete set with features that lack their encoder's figures, of weights not tried yet."""
    lacking = Feature.objects.filter(encoder_norm=None).exclude(statistics__completed=None)
    shown = SAE.objects.filter(statistics__in=lacking.values("statistics")).select_related("statistics")
    return [sae for sae in shown if sae.statistics.is_of(sae) and sae.statistics.analysis.get(TRIED) != _look(sae)]


def fill_all() -> None:
    for sae in unfilled():
        try:
            _fill(sae)
        except (ValueError, OSError) as problem:  # weights that are gone or cannot be read: the columns stay empty
            log.warning("The encoder's figures of %s are not filled in: %s", sae, problem)
            _remember(sae)


def _remember(sae: SAE) -> None:
    with transaction.atomic():
        row = Statistics.objects.select_for_update().get(pk=sae.statistics_id)
        row.analysis |= {TRIED: _look(sae)}
        row.save(update_fields=["analysis"])


def _look(sae: SAE) -> list:
    """[name, bytes, time] of the files of its weights; empty where there are none."""
    try:
        stats = [(file.name, file.stat()) for file in weight_files(find_weights(Path(sae.path)))]
    except (ValueError, OSError):
        return []
    return [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]


def _fill(sae: SAE) -> None:
    from ...engine.weights.health import EncoderColumns, encoders  # and torch with it

    rows = Feature.objects.filter(statistics=sae.statistics)
    alive = np.fromiter(rows.filter(count__gt=0).values_list("index", flat=True), np.int64)
    found = encoders(EncoderColumns(autoencoder_of(sae), np.sort(alive)))
    last = -1
    while batch := list(
        rows.filter(encoder_norm=None, index__gt=last).order_by("index").only("index", "flags")[:BATCH]
    ):
        for row in batch:
            set_columns(row, found)
        with transaction.atomic():
            Feature.objects.bulk_update(batch, COLUMNS, batch_size=100)
        last = batch[-1].index
