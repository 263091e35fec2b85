"""How does a machine's label stand among those of people? As another author's, until one confirms or rejects it."""

from django.db import transaction
from django.utils import timezone

from ..messages import BadRequest
from ..models import SAE, Judgement, JudgementChange
from .fields import said
from .keep import change_of
from .reader import Reader

SHARES = ("score", "score_low", "score_high", "control", "control_low", "control_high", "unanswered")
FACTS = ("model", *SHARES, "texts", "why_unscored", "made_by")


def keep_label(weights: str, width: int, index: int, author: str, label: str, facts: dict) -> None:
    """What it says of a feature now, and how good that is (FACTS). A label that was rejected stays so until it is
    another one."""
    key = {"weights": weights, "index": index, "author": author, "kind": Judgement.Kind.MACHINE}
    with transaction.atomic():
        Judgement.objects.get_or_create(**key, defaults={"width": width})
        row = Judgement.objects.select_for_update(of=("self",)).get(**key)
        is_new = row.label != label
        row.label, row.machine, row.changed = label, facts, timezone.now()
        if is_new:
            row.rejected_by = ""
            row.revision += 1
        row.save()
        if is_new:
            change_of(row, author).save()


def reject(sae: SAE, index: int, reader: Reader, id: int, rejected: bool) -> None:
    """A person says that a machine's label is wrong, or takes that back; both stand in its history. Raises BadRequest
    where there is no such label."""
    with transaction.atomic():
        rows = Judgement.objects.select_for_update(of=("self",)).of(sae)
        row = rows.filter(pk=id, index=index, kind=Judgement.Kind.MACHINE).first()
        if row is None:
            raise BadRequest(f"There is no machine's label {id} of feature {index}. Reload the page.")
        if bool(row.rejected_by) == rejected:
            return
        row.rejected_by = reader.name if rejected else ""
        row.revision += 1
        row.save(update_fields=["rejected_by", "revision"])
        told = said(row) | {"rejected": rejected}
        JudgementChange.objects.create(judgement=row, revision=row.revision, by=reader.name, said=told)


def facts_of(entry: dict) -> dict:
    """Those of an entry of a file: under "machine", or, of a CSV, in columns of their own. Raises BadRequest."""
    told = entry.get("machine") if isinstance(entry.get("machine"), dict) else entry
    facts = {}
    for name in FACTS:
        value = told.get(name)
        if value in (None, ""):
            continue
        facts[name] = _share(name, value) if name in SHARES else _plain(name, value)
    return facts


def _share(name: str, value) -> float:
    try:
        share = float(value)
    except (TypeError, ValueError):
        share = -1.0
    if not 0 <= share <= 1 or isinstance(value, bool):
        raise BadRequest(f"{name} is a share from 0 to 1, not {str(value)[:20]!r}")
    return share


def _plain(name: str, value) -> str | int:
    if name == "texts":
        if not str(value).isdecimal() or len(str(value)) > 6:
            raise BadRequest(f"texts is how many were asked about, not {str(value)[:20]!r}")
        return int(value)
    return " ".join(str(value).replace("\0", "").encode(errors="replace").decode().split())[:300]
