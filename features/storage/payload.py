"""How are a feature's statistics, but for those that stand in columns, kept in one compact field?

A payload is a byte that says the layout, then zlib over a short head (how many entries each array has, and in which
type) and the arrays one behind the other. Integers take the narrowest type that holds them, ascending ones as
differences. The bytes of an array lie plane by plane (first bytes, second bytes ...): neighbours then resemble each
other, and zlib finds more to save. Examples are found among the shown entries again, so one index stands for each.
What comes out is bit for bit what went in.

Which arrays there are, and of which types, is read off the annotations of `FeatureStatistics`. Those of layout 2 stand
in its order; whatever the record has beside them follows in layout 3, each by its name, so that a figure can be added
without a word here.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache, cached_property
from itertools import accumulate, pairwise
from types import NoneType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import numpy as np

from ..engine.results import ExampleGroup, Examples, FeatureStatistics, Interval

# What the row of a feature or a field beside the payload says.
COLUMNS = ("index", "tokens", "activity.count", "activity.maximum", "activity.mean", "activity.quantiles")

LAYOUTS = (1, 2, 3)  # first byte of a payload; a new layout gets a new number, and older ones stay readable
CORRELATES = ("indices", "pearson", "cosine", "decoder_cosine")
LAYOUT_2 = tuple(
    f"{record}.{name}"
    for record, names in (
        ("activity.histogram", ("edges", "counts")),
        ("logits.histogram", ("edges", "counts")),
        ("logits.positive", ("tokens", "values")),
        ("logits.negative", ("tokens", "values")),
        ("relatives.alignment", ("neurons", "values", "shares")),
        ("relatives.correlated_neurons", CORRELATES),
        ("relatives.correlated_features", CORRELATES),
        ("relatives.correlated_b", CORRELATES),
        ("relatives.neighbours", ("indices", "cosine")),
        ("shown", ("rows", "starts", "positions", "activations", "losses", "loss_effects", "logit_effects")),
        ("examples", ("rows", "positions", "activations", "copies")),
        ("intervals", ("entries", "sizes", "low", "high", "count")),
    )
    for name in names
)
LAYOUT_1 = tuple(name for name in LAYOUT_2 if not name.startswith("relatives.correlated_b."))

STORED = tuple(np.dtype(t) for t in ("<f4", "<f8", "u1", "<u2", "<u4", "i1", "<i2", "<i4", "<i8"))
UNSIGNED, SIGNED = STORED[2:5], STORED[5:]
BOUNDS = tuple((t, int(np.iinfo(t).min), int(np.iinfo(t).max)) for t in UNSIGNED + SIGNED)  # narrowest first
KINDS = {dtype: kind for kind, dtype in enumerate(STORED)}
LEVEL = 6  # of zlib: 9 takes an eighth longer for a thousandth of the bytes
ASCENDING = {"shown.rows", "shown.starts"}  # kept as differences
IN_SHOWN = ("rows", "positions", "activations")  # of examples; left out where an index among the shown says them
NUMBERS = {int: np.dtype("i8"), float: np.dtype("f8")}


def pack(statistics: FeatureStatistics) -> bytes:
    """Everything of a feature but COLUMNS."""
    return SCHEMA.pack(statistics)


def unpack(packed: bytes, columns: Mapping[str, Any]) -> FeatureStatistics:
    """A feature's statistics from its payload and `columns`, the values of COLUMNS by name.

    Raises ValueError for what this version cannot read, and for what is damaged.
    """
    return SCHEMA.unpack(packed, columns)


def decompressed(data: bytes) -> bytes:
    """Of zlib. Raises ValueError for what is damaged."""
    try:
        return zlib.decompress(data)
    except zlib.error as damage:
        raise ValueError(f"What was stored is damaged ({damage}). Recompute the statistics.") from damage


def unpack_part(packed: bytes, name: str) -> Any:
    """One part that has no columns: `examples`, `relatives`, `logits` or `shown`. Raises as `unpack`."""
    return SCHEMA.unpack_part(packed, name)


# Which arrays a record has


@dataclass(frozen=True)
class Field:
    """A field of a record: an array, a number, or a record with fields of its own."""

    name: str
    path: str  # from the outermost record, with dots
    type: Any  # of an array's or number's values, or the record
    is_number: bool
    may_be_none: bool

    @cached_property
    def parts(self) -> tuple["Field", ...]:
        """The fields of a record; none of an array or a number."""
        return fields_of(self.type, f"{self.path}.") if is_dataclass(self.type) else ()

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """Of the arrays and numbers in it, itself where it is one."""
        return tuple(path for part in self.parts for path in part.paths) or (self.path,)


@cache
def fields_of(record: type, path: str = "") -> tuple[Field, ...]:
    """The fields of a record, by its annotations."""
    hints = get_type_hints(record, include_extras=True)
    return tuple(_field(part.name, path + part.name, hints[part.name]) for part in fields(record))


def _field(name: str, path: str, hint: Any) -> Field:
    choices = get_args(hint) if NoneType in get_args(hint) else ()  # of X | None
    hint = next((choice for choice in choices if choice is not NoneType), hint)
    values = get_args(hint)[1] if get_origin(hint) is Annotated else NUMBERS.get(hint)
    return Field(name, path, np.dtype(values) if values else hint, hint in NUMBERS, bool(choices))


GROUP_COLUMNS = fields_of(ExampleGroup, "examples.")
INTERVAL_FIGURES = tuple(part for part in fields_of(Interval, "intervals.") if part.is_number)


def stored_in(parts: tuple[Field, ...]) -> Iterator[Field]:
    """The arrays and numbers in some fields, but for COLUMNS.

    All groups of examples lie in arrays together, one group behind the other: top, random, then the intervals.
    """
    for part in parts:
        if part.type is Examples:
            yield from GROUP_COLUMNS
            yield from (Field(name, f"intervals.{name}", NUMBERS[int], False, False) for name in ("entries", "sizes"))
            yield from INTERVAL_FIGURES
        elif part.parts:
            yield from stored_in(part.parts)
        elif part.path not in COLUMNS:
            yield part


class Schema:
    """How a record like `FeatureStatistics` is packed and unpacked."""

    def __init__(self, record: type):
        self.record, self.stored = record, {part.path: part for part in stored_in(fields_of(record))}
        self.added = tuple(path for path in self.stored if path not in LAYOUT_2)
        self.types = {path: part.type for path, part in self.stored.items()}

    def pack(self, statistics: Any) -> bytes:
        """See `pack`."""
        values, order = self._values(statistics), LAYOUT_2 + self.added
        arrays = [_narrow(path, np.asarray(values.get(path, ()), self.types.get(path, np.uint8))) for path in order]
        head = _head(len(order)).pack(*(n for array in arrays for n in (KINDS[array.dtype], array.size)))
        names = _packed_names(self.added) if self.added else b""
        layout = 3 if self.added else 2
        return bytes([layout]) + zlib.compress(names + head + b"".join(map(_planes, arrays)), LEVEL)

    def unpack(self, packed: bytes, columns: Mapping[str, Any]) -> Any:
        """See `unpack`."""
        return _built(self.record, fields_of(self.record), self._read(packed) | columns)

    def unpack_part(self, packed: bytes, name: str) -> Any:
        """See `unpack_part`."""
        return _part(next(part for part in fields_of(self.record) if part.name == name), self._read(packed))

    def _values(self, statistics: Any) -> dict[str, Any]:
        """What is stored, by its path."""
        apart = ("examples.", "intervals.")
        values = {path: _at(statistics, path) for path in self.stored if not path.startswith(apart)}
        groups, intervals = statistics.examples.groups, statistics.examples.intervals
        values["intervals.sizes"] = [len(group.rows) for group in groups]
        for figure in INTERVAL_FIGURES:
            values[figure.path] = [getattr(interval, figure.name) for interval in intervals]
        for column in GROUP_COLUMNS:
            values[column.path] = np.concatenate([getattr(group, column.name) for group in groups])
        values["intervals.entries"] = entries = _indices_in_shown(values)
        return values | ({f"examples.{name}": () for name in IN_SHOWN} if len(entries) else {})

    def _read(self, packed: bytes) -> dict[str, Any]:
        """What was stored, by its path; what this version has no field for is left out."""
        packed = bytes(packed)  # PostgreSQL hands over a memoryview
        layout = packed[0] if packed else 0
        if layout not in LAYOUTS:
            raise ValueError(
                f"This feature was stored in layout {layout or 'none'}; this version of saeviz reads layouts "
                f"{LAYOUTS[0]} to {LAYOUTS[-1]}. Recompute the statistics."
            )
        data = decompressed(packed[1:])
        added, start = _unpacked_names(data) if layout == 3 else ((), 0)
        order = LAYOUT_1 if layout == 1 else LAYOUT_2 + added
        arrays = zip(order, _arrays(data, start, len(order)), strict=True)
        return {path: _widened(self.stored[path], array) for path, array in arrays if path in self.stored}


# From arrays to records


def _built(record: type, parts: tuple[Field, ...], values: Mapping[str, Any]) -> Any:
    """A record of what is there. A field that was added after a payload was stored takes its default."""
    return record(**{part.name: _part(part, values) for part in parts if part.type is Examples or _has(part, values)})


def _has(part: Field, values: Mapping[str, Any]) -> bool:
    return part.paths[0] in values or any(path in values for path in part.paths)


def _part(part: Field, values: Mapping[str, Any]) -> Any:
    if part.type is Examples:
        return _examples(values)
    if part.may_be_none and not any(len(values.get(path, ())) for path in part.paths):
        return None  # a dead feature has no histogram
    return _built(part.type, part.parts, values) if part.parts else values[part.path]


def _examples(values: Mapping[str, Any]) -> Examples:
    columns = {column.name: values[column.path] for column in GROUP_COLUMNS if column.path in values}
    if len(entries := values["intervals.entries"]):
        columns |= _columns_in_shown(entries, values)
    ends = accumulate(values["intervals.sizes"].tolist(), initial=0)
    groups = [ExampleGroup(**{name: column[a:b] for name, column in columns.items()}) for a, b in pairwise(ends)]
    figures = {figure.name: values[figure.path].tolist() for figure in INTERVAL_FIGURES if figure.path in values}
    of_intervals = zip(groups[2:], *figures.values(), strict=True)
    intervals = (Interval(**dict(zip(figures, own, strict=True)), examples=group) for group, *own in of_intervals)
    return Examples(*groups[:2], tuple(intervals))


def _widened(part: Field, array: np.ndarray) -> Any:
    """The numbers in the type that the record promises."""
    if part.path in ASCENDING:
        return np.cumsum(array, dtype=part.type)
    array = array.astype(part.type, copy=False)
    return array.item() if part.is_number and part not in INTERVAL_FIGURES else array


SCHEMA = Schema(FeatureStatistics)


def _at(record: Any, path: str) -> Any:
    """The value at the end of a path; nothing where a record on the way is None."""
    for name in _names(path):
        record = getattr(record, name, None)
    return () if record is None else record if isinstance(record, np.ndarray) else np.atleast_1d(record)


@cache
def _names(path: str) -> tuple[str, ...]:
    return tuple(path.split("."))


# Examples among the shown entries


def _indices_in_shown(values: Mapping[str, Any]) -> Any:
    """Where the examples are among the shown entries [n]; empty where one is not there, or not with these bits."""
    shown, examples = (
        {name: np.asarray(values[f"{group}.{name}"]) for name in IN_SHOWN} for group in ("shown", "examples")
    )
    rows = np.repeat(shown["rows"], np.diff(values["shown.starts"]))  # [e] of each shown entry
    width = int(max(shown["positions"].max(initial=0), examples["positions"].max(initial=0))) + 1
    # One number for each (row, position): ascending, as rows are, and positions within a row.
    keys = rows * width + shown["positions"]  # [e]
    indices = np.searchsorted(keys, examples["rows"] * width + examples["positions"])  # [n]
    if not len(keys) or indices.max(initial=0) >= len(keys):
        return ()
    columns = shown | {"rows": rows}
    same = all((columns[name][indices] == examples[name]).all() for name in IN_SHOWN)
    return indices if same else ()


def _columns_in_shown(indices: np.ndarray, values: Mapping[str, Any]) -> dict[str, np.ndarray]:
    rows = np.repeat(values["shown.rows"], np.diff(values["shown.starts"]))  # [e] of each shown entry
    columns = (rows, values["shown.positions"].astype(np.int32), values["shown.activations"])
    return {name: column[indices] for name, column in zip(IN_SHOWN, columns, strict=True)}


# Bytes


def _head(count: int) -> struct.Struct:
    """Type and number of entries of each array."""
    return struct.Struct("<" + "BI" * count)


def _packed_names(names: tuple[str, ...]) -> bytes:
    text = "\n".join(names).encode()
    return struct.pack("<H", len(text)) + text


def _unpacked_names(data: bytes) -> tuple[tuple[str, ...], int]:
    """The names, and where what follows them begins."""
    (length,) = struct.unpack_from("<H", data)
    return tuple(data[2 : 2 + length].decode().split("\n")), 2 + length


def _narrow(name: str, array: np.ndarray) -> np.ndarray:
    """The same numbers in the narrowest type that holds them."""
    if array.dtype.kind == "f":
        return array
    if name in ASCENDING:
        array = array.copy()
        array[1:] -= array[:-1].copy()  # each number less the one before it; the first stays
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    bounds = BOUNDS if low >= 0 else BOUNDS[len(UNSIGNED) :]
    return array.astype(next(t for t, least, most in bounds if least <= low and high <= most))


def _planes(array: np.ndarray) -> bytes:
    """First bytes of all numbers, then second bytes ..."""
    if array.itemsize == 1 or array.size < 2:
        return array.tobytes()
    return array.view(np.uint8).reshape(array.size, array.itemsize).T.tobytes()


def _arrays(data: bytes, start: int, count: int) -> Iterator[np.ndarray]:
    """The arrays behind a head that begins at `start`, in the types they are stored in."""
    head = _head(count)
    kinds_and_sizes, start = head.unpack_from(data, start), start + head.size
    for kind, size in zip(kinds_and_sizes[::2], kinds_and_sizes[1::2], strict=True):
        dtype = STORED[kind]
        planes = np.frombuffer(data, np.uint8, size * dtype.itemsize, start).reshape(dtype.itemsize, size)
        yield np.ascontiguousarray(planes.T).reshape(-1).view(dtype)
        start += size * dtype.itemsize
