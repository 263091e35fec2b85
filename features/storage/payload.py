"""How is what only a feature's own page draws kept in one compact field?

A payload is zlib over a short head (how many entries each array has, and in which type) and the arrays one
behind the other. Integers take the narrowest type that holds them, ascending ones as steps. The bytes of
an array lie plane by plane (first bytes, second bytes ...): neighbours then resemble each other, and zlib
finds more to save. Examples are
found among the shown tokens again, so one number stands for each. What comes out is bit for bit what went in.
"""

import struct
import zlib
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from ..engine.results import (
    Alignment,
    Correlates,
    Examples,
    FeatureStatistics,
    Histogram,
    Interval,
    Neighbours,
    ShownRows,
    TokenValues,
)

VERSION = 2  # first byte of a payload; a new layout gets a new number, and older ones stay readable
STORED = tuple(np.dtype(t) for t in ("<f4", "<f8", "u1", "<u2", "<u4", "i1", "<i2", "<i4", "<i8"))
UNSIGNED, SIGNED = STORED[2:5], STORED[5:]
ASCENDING = {"shown.rows", "shown.starts"}  # kept as steps

CORRELATES = {"indices": "i4", "pearson": "f4", "cosine": "f4", "decoder_cosine": "f4"}

# Records made of arrays alone, in the order they are stored; the types are those that results.py promises.
PLAIN = {
    "activation_histogram": (Histogram, {"edges": "f4", "counts": "i8"}),
    "logit_histogram": (Histogram, {"edges": "f4", "counts": "i8"}),
    "positive_logits": (TokenValues, {"tokens": "i4", "values": "f4"}),
    "negative_logits": (TokenValues, {"tokens": "i4", "values": "f4"}),
    "alignment": (Alignment, {"neurons": "i4", "values": "f4", "shares": "f4"}),
    "correlated_neurons": (Correlates, CORRELATES),
    "correlated_features": (Correlates, CORRELATES),
    "correlated_b": (Correlates, CORRELATES),
    "neighbours": (Neighbours, {"indices": "i4", "cosine": "f4"}),
    "shown": (
        ShownRows,
        {
            "rows": "i8",
            "starts": "i8",
            "positions": "i2",
            "activations": "f4",
            "losses": "f4",
            "loss_effects": "f4",
            "logit_effects": "f4",
        },
    ),
}
# All groups of examples lie in one record: top, random, then the intervals.
EXAMPLES = {"rows": "i8", "positions": "i4", "activations": "f4", "copies": "i4"}
FOUND_IN_SHOWN = ("rows", "positions", "activations")  # left out where the place in `shown` says them
GROUPS = {"places": "i8", "sizes": "i8", "low": "f8", "high": "f8", "counts": "i8"}
ORDER = (
    [(f"{name}.{part}", np.dtype(t)) for name, (_, parts) in PLAIN.items() for part, t in parts.items()]
    + [(f"examples.{part}", np.dtype(t)) for part, t in EXAMPLES.items()]
    + [(f"groups.{part}", np.dtype(t)) for part, t in GROUPS.items()]
)
ADDED = {2: "correlated_b."}  # layout -> what arrays begin with that those before it do not have


@dataclass(frozen=True)
class Payload:
    """A feature's figures without those that have a column of their own; see `FeatureStatistics`."""

    activation_histogram: Histogram | None
    logit_histogram: Histogram
    positive_logits: TokenValues
    negative_logits: TokenValues
    alignment: Alignment
    correlated_neurons: Correlates
    correlated_features: Correlates
    correlated_b: Correlates
    neighbours: Neighbours
    top: Examples
    random: Examples
    intervals: tuple[Interval, ...]
    shown: ShownRows


def pack(statistics: FeatureStatistics | Payload) -> bytes:
    arrays = _arrays_of(statistics)
    kept = [_narrow(name, np.asarray(arrays[name], dtype)) for name, dtype in ORDER]
    head = _head(ORDER).pack(*(n for array in kept for n in (STORED.index(array.dtype), array.size)))
    return bytes([VERSION]) + zlib.compress(head + b"".join(map(_planes, kept)), 9)


def unpack(packed: bytes) -> Payload:
    packed = bytes(packed)  # PostgreSQL hands over a memoryview
    layout = packed[0] if packed else 0
    if not 1 <= layout <= VERSION:
        raise ValueError(
            f"This feature was stored in layout {layout or 'none'}; this version of saeviz reads layouts 1 to "
            f"{VERSION}. Recompute the statistics."
        )
    nothing = {name: np.zeros(0, dtype) for name, dtype in ORDER}
    return _payload_of(nothing | _read(zlib.decompress(packed[1:]), _order_of(layout)))


def _order_of(layout: int) -> list:
    """The arrays that a layout has, in the order they are stored."""
    later = tuple(prefix for number, prefix in ADDED.items() if number > layout)
    return [(name, dtype) for name, dtype in ORDER if not name.startswith(later)]


def _head(order: list) -> struct.Struct:
    """Type and number of entries of each array."""
    return struct.Struct("<" + "BI" * len(order))


def _arrays_of(statistics):
    groups = [statistics.top, statistics.random, *(i.examples for i in statistics.intervals)]
    arrays = {
        f"{name}.{part}": () if record is None else getattr(record, part)
        for name, (_, parts) in PLAIN.items()
        for record in [getattr(statistics, name)]
        for part in parts
    }
    for part in EXAMPLES:
        arrays[f"examples.{part}"] = np.concatenate([getattr(group, part) for group in groups])
    arrays["groups.places"] = places = _places_in_shown(arrays)
    if len(places):
        arrays |= {f"examples.{part}": () for part in FOUND_IN_SHOWN}
    arrays["groups.sizes"] = [len(group.rows) for group in groups]
    arrays["groups.low"] = [i.low for i in statistics.intervals]
    arrays["groups.high"] = [i.high for i in statistics.intervals]
    arrays["groups.counts"] = [i.count for i in statistics.intervals]
    return arrays


def _places_in_shown(arrays):
    """Where the examples are among the shown tokens; empty where one is not there, or not with these bits."""
    shown, examples = (
        {part: np.asarray(arrays[f"{group}.{part}"]) for part in FOUND_IN_SHOWN} for group in ("shown", "examples")
    )
    rows = np.repeat(shown["rows"], np.diff(arrays["shown.starts"]))
    width = int(max(shown["positions"].max(initial=0), examples["positions"].max(initial=0))) + 1
    keys = rows * width + shown["positions"]  # ascending, as rows are and positions within a row
    places = np.searchsorted(keys, examples["rows"] * width + examples["positions"])
    if not len(keys) or places.max(initial=0) >= len(keys):
        return ()
    found = {"rows": rows, "positions": shown["positions"], "activations": shown["activations"]}
    same = all((found[part][places] == examples[part]).all() for part in FOUND_IN_SHOWN)
    return places if same else ()


def _examples_at(places, shown):
    rows = np.repeat(shown.rows, np.diff(shown.starts))[places]
    positions = shown.positions[places].astype(np.int32)
    found = zip(FOUND_IN_SHOWN, (rows, positions, shown.activations[places]), strict=True)
    return {f"examples.{part}": array for part, array in found}


def _payload_of(arrays):
    records = {name: made_of(*(arrays[f"{name}.{part}"] for part in parts)) for name, (made_of, parts) in PLAIN.items()}
    if not records["activation_histogram"].edges.size:
        records["activation_histogram"] = None  # a dead feature has none
    if len(places := arrays["groups.places"]):
        arrays |= _examples_at(places, records["shown"])
    ends = accumulate(arrays["groups.sizes"].tolist(), initial=0)
    columns = [arrays[f"examples.{part}"] for part in EXAMPLES]
    top, random, *of_intervals = [Examples(*(c[a:b] for c in columns)) for a, b in pairwise(ends)]
    bounds = [arrays[f"groups.{part}"].tolist() for part in ("low", "high", "counts")]
    intervals = tuple(Interval(*figures) for figures in zip(*bounds, of_intervals, strict=True))
    return Payload(**records, top=top, random=random, intervals=intervals)


def _narrow(name, array):
    """The same numbers in the narrowest type that holds them."""
    if array.dtype.kind == "f":
        return array
    if name in ASCENDING:
        array = np.diff(array, prepend=array.dtype.type(0))
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    types = UNSIGNED + SIGNED if low >= 0 else SIGNED
    return array.astype(next(t for t in types if np.iinfo(t).min <= low and high <= np.iinfo(t).max))


def _planes(array):
    return array.view(np.uint8).reshape(array.size, array.itemsize).T.tobytes()


def _read(data, order):
    layout, arrays = _head(order), {}
    head, place = layout.unpack_from(data), layout.size
    for (name, dtype), kind, size in zip(order, head[::2], head[1::2], strict=True):
        stored = STORED[kind]
        length = size * stored.itemsize
        planes = np.frombuffer(data, np.uint8, length, place).reshape(stored.itemsize, size)
        array = np.ascontiguousarray(planes.T).reshape(-1).view(stored)
        arrays[name] = np.cumsum(array, dtype=dtype) if name in ASCENDING else array.astype(dtype, copy=False)
        place += length
    return arrays
