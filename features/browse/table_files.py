"""The table as a file: every feature of a list, in its order, with the columns shown, as CSV, JSON or Parquet."""

import csv
import io
import json
import math
from collections.abc import Iterator

from django.http import HttpResponse, StreamingHttpResponse

from ..judge.labels import Label, labels_of
from .columns import Column
from .list_rows import ListRows, values

FORMAT = 1
AT_ONCE = 200  # rows that are written together: hundreds of such pieces may wait for a slow reader
BATCH = 20_000  # rows of parquet
KEPT = ("label", "label_by", "star", "grade", "tags")  # what readers keep, beside the columns


def answer(rows: ListRows, form: str):
    """The file, as the answer to a request."""
    columns = rows.list.shown_columns
    content = {"csv": _csv, "json": _json, "parquet": _parquet}[form](rows, columns)
    if form == "parquet":
        found = HttpResponse(content, "application/vnd.apache.parquet")
    else:
        kind = "text/csv; charset=utf-8" if form == "csv" else "application/json"
        found = StreamingHttpResponse(_in_pieces(content), content_type=kind)
    if form != "json":
        found["Content-Disposition"] = f'attachment; filename="{rows.sae.slug}.features.{form}"'
    return found


def records(rows: ListRows, columns: list[Column]) -> Iterator[dict]:
    """One of each feature: None for what it does not have."""
    labels = rows.labels if rows.list.asks_for_labels else labels_of(rows.sae, rows.reader)
    names = ["index", "count", *(column.attribute for column in columns)]
    for index, count, *found in values(rows.features(), names):
        pairs = zip(columns, found, strict=True)
        told = {column.name: value if count or column.of_dead else None for column, value in pairs}
        yield {"feature": index, **told, **_kept(labels.get(index) or Label())}


def _kept(label: Label) -> dict:
    by = label.whose if label.author else "you" * bool(label.text)
    return {"label": label.text, "label_by": by, "star": label.star, "grade": label.grade, "tags": list(label.tags)}


def _csv(rows: ListRows, columns: list[Column]) -> Iterator[str]:
    text = io.StringIO()
    writer = csv.DictWriter(text, ["feature", *(column.name for column in columns), *KEPT])
    writer.writeheader()
    for record in records(rows, columns):
        yield text.getvalue()
        text.seek(0)
        text.truncate()
        writer.writerow(record | {"tags": ", ".join(record["tags"]), "star": str(record["star"]).lower()})
    yield text.getvalue()


def _json(rows: ListRows, columns: list[Column]) -> Iterator[str]:
    """One object, a feature a line."""
    sae, statistics = rows.sae, rows.sae.statistics
    about = {
        "format": FORMAT,
        "sae": {"slug": sae.slug, "weights": sae.checkpoint_hash, "d_sae": sae.d_sae},
        "population": {"tokens": statistics.tokens, "corpus": statistics.corpus.name, "quick": statistics.quick},
        "list": rows.list.words,
        "columns": {column.name: column.help for column in columns},
    }
    yield json.dumps(about)[:-1] + ', "features": [\n'
    before = ""
    for record in records(rows, columns):
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in record.items()}
        yield before + json.dumps(finite, ensure_ascii=False, allow_nan=False)
        before = ",\n"
    yield "\n]}\n"


def _parquet(rows: ListRows, columns: list[Column]) -> bytes:
    import pyarrow  # 0.2 s: only this form needs it
    from pyarrow import parquet

    types = {
        "percent": pyarrow.float64(),
        "figure": pyarrow.float64(),
        "decimals": pyarrow.float64(),
        "count": pyarrow.int64(),
    }
    fields = [("feature", pyarrow.int64())]
    fields += [(column.name, types.get(column.format, pyarrow.string())) for column in columns]
    fields += [("label", pyarrow.string()), ("label_by", pyarrow.string()), ("star", pyarrow.bool_())]
    schema = pyarrow.schema([*fields, ("grade", pyarrow.string()), ("tags", pyarrow.list_(pyarrow.string()))])
    written = io.BytesIO()
    with parquet.ParquetWriter(written, schema) as writer:
        batch = []
        for record in records(rows, columns):
            batch.append(record)
            if len(batch) == BATCH:
                writer.write_table(pyarrow.Table.from_pylist(batch, schema))
                batch = []
        writer.write_table(pyarrow.Table.from_pylist(batch, schema))
    return written.getvalue()


def _in_pieces(texts: Iterator[str]) -> Iterator[bytes]:
    """Together, so that a row is not a packet."""
    held = []
    for text in texts:
        held.append(text)
        if len(held) == AT_ONCE:
            yield "".join(held).encode()
            held = []
    yield "".join(held).encode()
