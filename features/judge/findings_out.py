"""How do a reader's labels get into `findings.json`? Beside what stands there, which is never changed."""

import json
from pathlib import Path

from ..engine.files import whole_file
from ..messages import BadRequest
from ..models import SAE, Judgement
from ..storage import findings_file
from .reader import Reader


def with_labels(sae: SAE, reader: Reader) -> tuple[dict, int, int]:
    """The contents of the file with a finding for each labelled feature; how many are new, and how many features had
    one before. Raises BadRequest where the file cannot be read, or could not be read afterwards."""
    whole = _standing(sae)
    features = list(whole.get("features", []))
    before = {entry["feature"] for entry in features}
    rows = Judgement.objects.of(sae).filter(author=reader.name, kind=Judgement.Kind.PERSON).exclude(label="")
    new = [_entry(row) for row in rows.order_by("index") if row.index not in before]
    whole |= {"features": features + new}
    try:
        findings_file.parsed(whole, sae.d_sae)
    except findings_file.FindingsUnreadable as problem:
        raise BadRequest(
            f"findings.json would not be readable: {problem}. Export the labels as JSON instead."
        ) from None
    return whole, len(new), len(rows) - len(new)


def _standing(sae: SAE) -> dict:
    try:
        findings_file.read_of(sae)
        file = findings_file.file_of(sae.path)
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    except (findings_file.FindingsUnreadable, OSError, ValueError) as problem:
        raise BadRequest(f"The findings that are there cannot be read, so nothing was written: {problem}") from problem


def _entry(row: Judgement) -> dict:
    entry = {"feature": row.index, "name": row.label, "author": row.author}
    if row.note:
        entry["sentence"] = row.note[: findings_file.LONGEST]
    if row.grade:
        entry["grade"] = row.grade
    return entry | ({"tags": row.tags} if row.tags else {})


def as_text(whole: dict) -> str:
    return json.dumps(whole, ensure_ascii=False, indent=2) + "\n"


def write(sae: SAE, reader: Reader) -> tuple[Path, int, int]:
    """Put them into the file beside the weights, in one step; a reader sees the old one or the new one.

    Raises BadRequest where it cannot be written.
    """
    whole, new, before = with_labels(sae, reader)
    file = findings_file.file_of(sae.path)
    text = as_text(whole)
    if (length := len(text.encode())) > findings_file.MOST_BYTES:
        raise BadRequest(f"findings.json would have {length:,} bytes; at most {findings_file.MOST_BYTES:,} are read.")
    try:
        with whole_file(file) as unfinished:
            unfinished.write_text(text, encoding="utf-8")
    except OSError as problem:
        raise BadRequest(f"{file} cannot be written: {problem.strerror}. Download it and put it there.") from problem
    return file, new, before
