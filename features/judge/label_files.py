"""How do judgements travel? As JSON or CSV, each with the weights it is about: no other SAE takes it for its own."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_naive, make_aware, now

from ..messages import BadRequest, size
from ..models import SAE, Judgement
from .fields import EMPTY, FIELDS, checked, said
from .machine import FACTS, facts_of

FORMAT = 1
MOST_BYTES = 50_000_000
MOST_LABELS = 200_000
COLUMNS = ("weights", "width", "feature", "author", "kind", *FIELDS, "changed", *FACTS, "rejected_by")
TRUE, FALSE = ("true", "1", "yes", "★"), ("", "false", "0", "no")


@dataclass
class Read:
    """A judgement of a file, and where in the file it stands."""

    where: str
    weights: str
    width: int
    index: int
    author: str
    kind: str
    said: dict
    changed: datetime
    machine: dict = field(default_factory=dict)  # how good a machine's label is
    rejected_by: str = ""


@dataclass
class LabelFile:
    """What was read, and a sentence for each entry that could not be."""

    labels: list[Read] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


# Written


def records(rows: Iterable[Judgement]) -> Iterator[dict]:
    for row in rows:
        changed = row.changed.isoformat(timespec="seconds")
        about = {"weights": row.weights, "width": row.width, "feature": row.index}
        told = {**about, "author": row.author, "kind": row.kind, **said(row), "changed": changed}
        if row.kind == Judgement.Kind.MACHINE:
            told |= {"machine": row.machine, "rejected_by": row.rejected_by}
        yield told


def as_json(rows: Iterable[Judgement]) -> str:
    labels = ",\n".join(json.dumps(record, ensure_ascii=False) for record in records(rows))
    return f'{{"format": {FORMAT}, "labels": [\n{labels}\n]}}\n'


def as_csv(rows: Iterable[Judgement]) -> str:
    """With a header; tags stand in one column, with commas between."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    for record in records(rows):
        record |= {"tags": ", ".join(record["tags"]), "star": str(record["star"]).lower()}
        writer.writerow(record | record.pop("machine", {}))
    return text.getvalue()


# Read


def read(content: bytes, sae: SAE, author: str) -> LabelFile:
    """A file of either form. `author`: whose entries without one are; entries without weights are about `sae`.

    Raises BadRequest where nothing of it can be read.
    """
    if len(content) > MOST_BYTES:
        raise BadRequest(f"The file has {size(len(content))}; at most {size(MOST_BYTES)} are read.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadRequest(f"The file is not text in UTF-8 (byte {error.start:,}). Save it as UTF-8.") from error
    entries = _of_json(text) if text.lstrip()[:1] in ("{", "[") else _of_csv(text)
    found = LabelFile()
    for count, (where, entry) in enumerate(entries):
        if count >= MOST_LABELS:
            raise BadRequest(f"The file has more than {MOST_LABELS:,} labels. Import it in parts.")
        try:
            found.labels.append(_read(where, entry, sae, author))
        except BadRequest as problem:
            found.left_out.append(f"{where}: {problem}")
    return found


def _of_json(text: str) -> Iterator[tuple[str, dict]]:
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"The file cannot be read as JSON: {error}") from error
    if isinstance(whole, dict) and whole.get("format", FORMAT) != FORMAT:
        raise BadRequest(f"The file is of format {str(whole['format'])[:20]}; this version reads format {FORMAT}.")
    labels = whole
    if isinstance(whole, dict):
        labels = whole.get("labels", whole.get("features"))  # of this site, or a findings.json
    if not isinstance(labels, list):
        raise BadRequest('The file holds no labels: {"labels": [...]}, or {"features": [...]} as findings.json has.')
    return ((f"labels[{at}]", entry) for at, entry in enumerate(labels))


def _of_csv(text: str) -> Iterator[tuple[str, dict]]:
    rows = csv.DictReader(io.StringIO(text, newline=""))
    try:
        names = [name.strip().lower() for name in rows.fieldnames or ()]
        if "feature" not in names:
            raise BadRequest(f"The first line names no column “feature”. Columns that are read: {', '.join(COLUMNS)}.")
        rows.fieldnames = names
        for row in rows:
            row.pop(None, None)  # cells beyond the header
            yield f"line {rows.line_num}", {name: value or "" for name, value in row.items()}
    except csv.Error as error:
        raise BadRequest(f"The file cannot be read as CSV: line {rows.line_num}: {error}") from error


def _read(where: str, entry, sae: SAE, author: str) -> Read:
    if not isinstance(entry, dict):
        raise BadRequest("not an object with a feature and a label")
    weights = str(entry.get("weights") or sae.checkpoint_hash)
    width = _whole("width", entry.get("width") or (sae.d_sae if weights == sae.checkpoint_hash else 0))
    index = _whole("feature", entry.get("feature"))
    if len(weights) > 64 or not weights.isalnum():
        raise BadRequest(f"weights are named by 64 hexadecimal digits, not {weights[:20]!r}")
    if weights == sae.checkpoint_hash and width != sae.d_sae:
        raise BadRequest(f"it says that these weights have {width:,} features; they have {sae.d_sae:,}")
    if not width:
        raise BadRequest("it names other weights but not their width, the number of their features")
    if index >= width:
        raise BadRequest(f"feature {index:,}: this SAE has features 0 to {width - 1:,}")
    kind = entry.get("kind") or Judgement.Kind.PERSON
    if kind not in Judgement.Kind.values:
        raise BadRequest(f"kind is {', '.join(Judgement.Kind.values)}, not {str(kind)[:20]!r}")
    is_machine = kind == Judgement.Kind.MACHINE
    machine, rejected = (facts_of(entry), _author({"author": entry.get("rejected_by")}, "")) if is_machine else ({}, "")
    return Read(
        where, weights, width, index, _author(entry, author), kind, _said(entry), _changed(entry), machine, rejected
    )


def _said(entry: dict) -> dict:
    """The fields; those that findings.json calls otherwise under their names here."""
    about = {name: entry[name] for name in FIELDS if entry.get(name) not in (None, "")}
    about.setdefault("label", entry.get("name") or "")
    if sentence := entry.get("sentence"):
        about.setdefault("note", f"{sentence} {entry.get('look_at') or ''}".strip())
    if isinstance(about.get("tags"), str):
        about["tags"] = [about["tags"]]
    if isinstance(about.get("star"), str):
        star = about["star"].strip().lower()
        if star not in (*TRUE, *FALSE):
            raise BadRequest(f"star is true or false, not {star[:20]!r}")
        about["star"] = star in TRUE
    fields = EMPTY | checked(about)
    if fields == EMPTY:
        raise BadRequest("it says nothing: no star, label, note, tags or grade")
    return fields


def _whole(name: str, value) -> int:
    text = str(value).strip().lstrip("#")
    if isinstance(value, bool) or not text.isascii() or not text.isdigit() or len(text) > 9:
        raise BadRequest(f"{name} is a whole number, not {str(value)[:20]!r}")
    return int(text)


def _author(entry: dict, otherwise: str) -> str:
    name = " ".join(str(entry.get("author") or otherwise).replace("\0", "").split())
    if len(name) > 200:
        raise BadRequest(f"the author's name has {len(name)} characters; at most 200 are kept")
    return name


def _changed(entry: dict) -> datetime:
    """When it was said last; now, where the file does not say."""
    try:
        moment = parse_datetime(str(entry.get("changed") or ""))
    except ValueError:
        moment = None
    if moment is None:
        return now()
    return make_aware(moment) if is_naive(moment) else moment
