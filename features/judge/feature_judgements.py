"""What does a feature's page say of judgements? The reader's own, those of others, and how they came to be."""

from ..models import SAE, Judgement, JudgementChange
from . import inherited
from .fields import EMPTY, FIELDS, said
from .labels import starred_by
from .reader import Reader

SHOWN_CHANGES = 30


def judgements(sae: SAE, index: int, reader: Reader | None) -> dict:
    """One dict for the panel and for the answer to a change."""
    rows = list(Judgement.objects.of(sae).filter(index=index).order_by("kind", "author"))
    own = next((row for row in rows if reader and row.author == reader.name and row.kind == row.Kind.PERSON), None)
    changes = JudgementChange.objects.filter(judgement__in=rows).select_related("judgement")[:SHOWN_CHANGES]
    return {
        "index": index,
        "weights": sae.checkpoint_hash,
        "reader": reader.name if reader else None,
        "own": own_of(own),
        "starred": starred_by(sae, reader),
        "others": [_other(row) for row in rows if row is not own and said(row) != EMPTY],
        "inherited": [inherited.to_dict(one) for one in inherited.inherited(sae, {index}, rejected=True)],
        "history": [_change(change) for change in changes],
    }


def own_of(row: Judgement | None) -> dict:
    """The fields to be edited, and the revision they are of."""
    if row is None:
        return {**EMPTY, "revision": 0, "changed": None, "taken_from": ""}
    changed = row.changed.isoformat(timespec="seconds")
    return {**said(row), "revision": row.revision, "changed": changed, "taken_from": row.taken_from}


def _other(row: Judgement) -> dict:
    changed = row.changed.isoformat(timespec="seconds")
    about = {"author": row.author, "kind": row.kind, "id": row.pk, "changed": changed}
    return {**said(row), **about, "machine": row.machine, "rejected_by": row.rejected_by}


def _change(change: JudgementChange) -> dict:
    """What stands after it; fields that say nothing are left out."""
    told = {name: change.said.get(name) for name in FIELDS if change.said.get(name)}
    if "rejected" in change.said:
        told["rejected"] = change.said["rejected"]
    at = change.at.isoformat(timespec="seconds")
    return {"at": at, "by": change.by, "author": change.judgement.author, "said": told}
