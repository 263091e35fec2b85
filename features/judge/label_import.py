"""What becomes of the judgements of a file? They stand beside those that are here; none is overwritten."""

from collections import Counter
from dataclasses import dataclass, field

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet

from ..models import SAE, Judgement, JudgementChange
from .fields import EMPTY, said
from .keep import change_of
from .label_files import LabelFile, Read
from .reader import LOCAL, Reader

BATCH = 1000
TOLD = 20  # entries that were left out


@dataclass
class Report:
    """How many were taken, and how many were not, and why. `other`: weights -> how many are about these."""

    added: int = 0
    newer: int = 0
    there: int = 0
    older: int = 0
    beside: int = 0
    other: Counter = field(default_factory=Counter)
    left_out: list[str] = field(default_factory=list)

    def sentences(self, sae: SAE) -> list[str]:
        told = [f"{_labels(self.added)} added."]
        if self.there:
            told.append(f"{_labels(self.there)} stood here already, word for word.")
        if self.newer:
            told.append(f"{_labels(self.newer)} newer than an imported one of the same author; that is in its history.")
        if self.older:
            told.append(f"{_labels(self.older)} older than what is here of the same author, and not taken.")
        if self.beside:
            told.append(f"{_labels(self.beside)} of yours here and in the file differ: yours stand, the file's beside.")
        here = dict(SAE.objects.filter(checkpoint_hash__in=list(self.other)).values_list("checkpoint_hash", "name"))
        for weights, count in self.other.most_common(TOLD):
            where = f"those of {here[weights]}" if weights in here else "which no SAE here has"
            told.append(
                f"{_labels(count)} about other weights ({weights[:12]}), {where}, not those of {sae.name}: kept with "
                "their weights, and not shown on these features."
            )
        told += [f"Left out, {sentence}" for sentence in self.left_out[:TOLD]]
        if len(self.left_out) > TOLD:
            told.append(f"And {len(self.left_out) - TOLD:,} more were left out.")
        return told


def _labels(count: int) -> str:
    return f"{count:,} label" + "s" * (count != 1)


def take(file: LabelFile, sae: SAE, reader: Reader, author: str = "") -> Report:
    """Keep what was read. `author`: who the local reader of the file's site is; without a name, the reader here."""
    for label in file.labels:
        if label.author == LOCAL and label.kind == Judgement.Kind.PERSON:
            label.author = author or reader.name
    try:
        return _taken(file, sae, reader)
    except IntegrityError:  # somebody began to judge one of these features between the reading and the writing
        return _taken(file, sae, reader)


def _taken(file: LabelFile, sae: SAE, reader: Reader) -> Report:
    """All of it or, where IntegrityError is raised, none."""
    report = Report(left_out=list(file.left_out))
    labels = _last_of_each(file.labels, report)
    with transaction.atomic():
        list(held(sae, {label.weights for label in labels}))
        for start in range(0, len(labels), BATCH):
            _take(labels[start : start + BATCH], reader, report)
    report.other = Counter(label.weights for label in labels if label.weights != sae.checkpoint_hash)
    return report


def held(sae: SAE, weights: set[str]) -> QuerySet:
    """The SAEs that a file is about, once they are read no other import's until the transaction ends.

    Always in one order, so that no two wait for each other; rows that name an SAE are written meanwhile."""
    about = SAE.objects.filter(Q(pk=sae.pk) | Q(checkpoint_hash__in=weights)).order_by("pk")
    return about.select_for_update(of=("self",), no_key=True)


def _last_of_each(labels: list[Read], report: Report) -> list[Read]:
    """One for each author and feature; that others of the file say something else is told."""
    last: dict[tuple, Read] = {}
    for label in sorted(labels, key=lambda label: label.changed):
        before = last.get(_key(label))
        if before and before.said != label.said:
            report.left_out.append(f"{before.where}: {label.where} is of the same author about the same feature, later")
        last[_key(label)] = label
    return list(last.values())


def _key(label: Read | Judgement, kind: str = "") -> tuple:
    return label.weights, label.index, label.author, kind or label.kind


def standing(weights: set[str], indices: set[int]) -> QuerySet:
    """What is said of these features already; once it is read nobody else changes it until the transaction ends."""
    rows = Judgement.objects.filter(weights__in=weights, index__in=indices)
    return rows.select_for_update(of=("self",))


def _take(labels: list[Read], reader: Reader, report: Report) -> None:
    """A batch, in few statements."""
    weights, indices = {label.weights for label in labels}, {label.index for label in labels}
    there = {_key(row): row for row in standing(weights, indices)}
    placed = [(label, row) for label in labels if (row := _row_for(label, there, reader, report)) is not None]
    for label, row in placed:
        for name, value in label.said.items():
            setattr(row, name, value)
        row.changed, row.revision = label.changed, row.revision + 1
        row.machine, row.rejected_by = label.machine, label.rejected_by
    Judgement.objects.bulk_create([row for _, row in placed if row.pk is None])
    Judgement.objects.bulk_update(
        [row for _, row in placed if row.revision > 1],
        [*EMPTY, "changed", "revision", "machine", "rejected_by"],
        batch_size=100,
    )
    JudgementChange.objects.bulk_create([change_of(row, f"import by {reader.name}") for _, row in placed])


def _row_for(label: Read, there: dict, reader: Reader, report: Report) -> Judgement | None:
    """The row that takes it, new or standing; None where nothing is to be changed."""
    person = there.get(_key(label, Judgement.Kind.PERSON))
    is_own = label.author == reader.name and label.kind == Judgement.Kind.PERSON
    if label.kind != Judgement.Kind.MACHINE and person and said(person) in (label.said, EMPTY):
        if said(person) == label.said:
            report.there += 1
            return None
        if is_own:  # everything in it was taken back here; what it said is in its history
            report.added += 1
            return person
    if is_own and person is None:
        report.added += 1
        return _new(label, Judgement.Kind.PERSON, reader)
    kind = label.kind if label.kind == Judgement.Kind.MACHINE else Judgement.Kind.IMPORT
    row = there.get(_key(label, kind))
    if row is None:
        report.beside += is_own
        report.added += not is_own
        return _new(label, kind, None)
    if said(row) == label.said:
        report.there += 1
    elif label.changed <= row.changed:
        report.older += 1
    else:
        report.newer += 1
        return row
    return None


def _new(label: Read, kind: str, reader: Reader | None) -> Judgement:
    user = reader.user if reader else None
    about = {"weights": label.weights, "width": label.width, "index": label.index}
    return Judgement(**about, author=label.author, kind=kind, user=user)
