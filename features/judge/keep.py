"""How is a judgement changed without anything being lost? Field by field, each change kept, a clash told."""

from django.db import transaction
from django.utils import timezone

from ..messages import BadRequest
from ..models import SAE, Judgement, JudgementChange
from .fields import EMPTY, FIELDS, checked, said
from .reader import Reader


class Clash(Exception):
    """The same field was changed elsewhere since it was read; nothing was changed now. `judgement` is what stands."""

    def __init__(self, judgement: Judgement, fields: list[str]):
        super().__init__(
            f"Meanwhile the {' and the '.join(fields)} of this feature {'was' if len(fields) == 1 else 'were'} changed "
            "under your name, in another window or by somebody else. Neither is lost: choose one."
        )
        self.judgement = judgement
        self.fields = fields


def change(sae: SAE, index: int, reader: Reader, changes: dict, revision: int, taken_from: str = "") -> Judgement:
    """Change some fields of the reader's judgement, which was read at `revision` (0: there was none).

    What was changed since stays, unless it is the same field: then Clash. Raises BadRequest for what cannot be kept.
    """
    if not 0 <= index < sae.d_sae:
        raise BadRequest(f"Feature {index}: this SAE has features 0 to {sae.d_sae - 1}.")
    changes = checked(changes)
    with transaction.atomic():
        judgement = _locked(sae, index, reader)
        if clashing := _changed_elsewhere(judgement, changes, revision):
            raise Clash(judgement, clashing)
        before = said(judgement)
        for name, value in changes.items():
            setattr(judgement, name, value)
        if "label" in changes and changes["label"] != before["label"]:
            judgement.taken_from = taken_from[:220]
        if said(judgement) != before:
            judgement.revision += 1
            judgement.changed = timezone.now()
            judgement.save()
            change_of(judgement, reader.name).save()
    return judgement


def _locked(sae: SAE, index: int, reader: Reader) -> Judgement:
    """The reader's own row, made where there was none; no other request changes it before the transaction ends."""
    key = {"weights": sae.checkpoint_hash, "index": index, "author": reader.name, "kind": Judgement.Kind.PERSON}
    Judgement.objects.get_or_create(**key, defaults={"width": sae.d_sae, "user": reader.user})
    return Judgement.objects.select_for_update(of=("self",)).get(**key)


def _changed_elsewhere(judgement: Judgement, changes: dict, revision: int) -> list[str]:
    """The fields to be changed that somebody else has set to another value after `revision`."""
    if judgement.revision == revision:
        return []
    then = judgement.changes.filter(revision=revision).values_list("said", flat=True).first() or EMPTY
    now = said(judgement)
    return [name for name in FIELDS if name in changes and now[name] not in (then[name], changes[name])]


def change_of(judgement: Judgement, by: str) -> JudgementChange:
    """What is kept of the change just made, not saved."""
    return JudgementChange(judgement=judgement, revision=judgement.revision, by=by, said=said(judgement))


def add_stars(sae: SAE, reader: Reader, indices: list[int]) -> int:
    """Star features that a browser remembered; how many were not starred yet. Those beyond the last are left out."""
    starred = set(_own(sae, reader).filter(star=True).values_list("index", flat=True))
    new = sorted({index for index in indices if 0 <= index < sae.d_sae} - starred)
    for index in new:
        standing = _own(sae, reader).filter(index=index).first()
        change(sae, index, reader, {"star": True}, standing.revision if standing else 0)
    return len(new)


def _own(sae: SAE, reader: Reader):
    return Judgement.objects.of(sae).filter(author=reader.name, kind=Judgement.Kind.PERSON)
