"""Figures of all features as plain arrays: what a page draws a hundred thousand points from."""

import numpy as np

from ..browse.columns import RANGED, Column, annotated
from ..browse.list_rows import ListRows
from ..models import SAE, Feature

AT_ONCE = 5000  # rows read together


def values(sae: SAE, column: Column) -> np.ndarray:
    """Of every feature by its number, NaN where it has none. [d_sae] float32, little-endian"""
    found = np.full(sae.d_sae, np.nan, "<f4")
    rows = annotated(Feature.objects.shown_of(sae), [column]).order_by()
    if not column.of_dead:
        rows = rows.filter(count__gt=0)
    rows = rows.exclude(**{column.attribute: None})
    for index, value in rows.values_list("index", column.attribute).iterator(chunk_size=AT_ONCE):
        found[index] = value
    return found


def listed(rows: ListRows) -> np.ndarray:
    """The features of a list, in no order. [n] uint32, little-endian"""
    return np.fromiter(rows.filtered.order_by().values_list("index", flat=True).iterator(chunk_size=AT_ONCE), "<u4")


def choices() -> list[dict]:
    """The figures that can be an axis or a colour, and whether a logarithm spreads them."""
    return [
        {
            "name": column.name,
            "title": column.title,
            "help": column.help,
            "format": column.format,
            "log": name in SPREAD,
        }
        for name, column in RANGED.items()
    ]


SPREAD = {"density", "count", "maximum", "mean", "encoder_norm", "peak"}
