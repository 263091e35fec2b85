"""Which label stands beside a feature's number? One's own, another person's, a finding's; its counterpart's, or a
machine's, where there is no other."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from django.db.models import Count, Max

from ..models import SAE, Comparison, Judgement, JudgementChange, Rejection
from ..storage.findings_file import findings_of
from ..templatetags.formatting import whole_percent
from . import inherited
from .reader import Reader

FINDING = "finding"  # of findings.json: a kind beside those of Judgement.Kind
# Whose label is shown where several have one: own ones come before all of these.
ORDER = {Judgement.Kind.PERSON: 1, Judgement.Kind.IMPORT: 2, FINDING: 3, Judgement.Kind.MACHINE: 4}


@dataclass
class Label:
    """What is said of a feature, in short. `author` is "" where it is the reader."""

    text: str = ""
    author: str = ""
    kind: str = ""
    star: bool = False
    grade: str = ""
    tags: tuple[str, ...] = ()
    machine: dict = field(default_factory=dict)  # how good a machine's is: see judge/machine.py
    whence: str = ""  # of one that is inherited

    @property
    def is_machine(self) -> bool:
        """Whether no person has said it."""
        return self.kind == Judgement.Kind.MACHINE

    @property
    def is_inherited(self) -> bool:
        """Whether it was said of the feature's counterpart, and nobody has confirmed it here."""
        return self.kind == inherited.KIND

    @property
    def marked(self) -> str:
        """The text, with what makes it weaker than a person's."""
        return self.text + " (machine)" * self.is_machine + " (inherited)" * self.is_inherited

    @property
    def whose(self) -> str:
        """Said beside it, where it is not the reader's own."""
        if self.kind == FINDING:
            return "findings.json"
        if self.is_machine and "score" in self.machine:
            score, control = (whole_percent(self.machine.get(name)) for name in ("score", "control"))
            return f"{self.author} (machine): detection {score}, shuffled control {control}"
        if self.is_inherited:
            return f"{self.author}, {self.whence}"
        return f"{self.author} ({self.get_kind()})" if self.kind != Judgement.Kind.PERSON else self.author

    def get_kind(self) -> str:
        return "imported" if self.kind == Judgement.Kind.IMPORT else self.kind


def labels_of(sae: SAE, reader: Reader | None, indices: Iterable[int] | None = None) -> dict[int, Label]:
    """Feature -> its label, star and grade; of these features, or of all that have any. Stars are the reader's own."""
    own = reader.name if reader else None
    found = tuple((finding.feature, finding.name) for finding in findings_of(sae).features)
    if indices is None:
        return _all_labels(sae.pk, own, found, _state(sae))
    wanted = set(indices)
    found = tuple((feature, name) for feature, name in found if feature in wanted)
    labels = _labels(Judgement.objects.of(sae).filter(index__in=wanted), found, own)
    return _with_inherited(labels, inherited.inherited(sae, wanted))


def starred_by(sae: SAE, reader: Reader | None) -> int:
    """How many features the reader has starred."""
    own = Judgement.objects.of(sae).filter(kind=Judgement.Kind.PERSON, author=reader.name if reader else "")
    return own.filter(star=True).count()


def _state(sae: SAE) -> tuple:
    """Another after every change, and where rows were removed or added."""
    rows = Judgement.objects.of(sae).aggregate(count=Count("pk"), newest=Max("pk"), changed=Max("changed"))
    changes = JudgementChange.objects.aggregate(newest=Max("pk"), count=Count("pk"))  # of other weights, too
    matched = Comparison.objects.filter(state=Comparison.State.DONE).aggregate(newest=Max("pk"), count=Count("pk"))
    rejected = Rejection.objects.aggregate(newest=Max("pk"), count=Count("pk"))
    return tuple(value for counts in (rows, changes, matched, rejected) for value in counts.values())


@lru_cache(maxsize=8)
def _all_labels(key: int, own: str | None, findings: tuple, state: tuple) -> dict[int, Label]:
    """Kept by the process: ten thousand of them take a third of a second to read."""
    sae = SAE.objects.get(pk=key)
    return _with_inherited(_labels(Judgement.objects.of(sae), findings, own), inherited.inherited(sae))


def _with_inherited(labels: dict[int, Label], found: list[inherited.Inherited]) -> dict[int, Label]:
    """What counterparts are called, where nobody says anything of the feature itself; before a machine's."""
    for one in found:
        label = labels.get(one.index) or Label()
        if one.row.label and (not label.text or label.is_machine):
            label.text, label.author, label.kind, label.whence = (
                one.row.label,
                one.row.author,
                inherited.KIND,
                one.whence,
            )
        if label.is_inherited:
            label.tags += tuple(tag for tag in one.row.tags if tag not in label.tags)
            labels[one.index] = label
    return labels


def _labels(rows, findings: tuple[tuple[int, str], ...], own: str | None) -> dict[int, Label]:
    """What a machine said and a person has rejected is left out."""
    columns = ("index", "author", "kind", "machine", "label", "star", "grade", "tags")
    found = [
        (0 if author == own and kind == Judgement.Kind.PERSON else ORDER[kind], *rest, author, kind, machine)
        for *rest, author, kind, machine in (
            (index, label, star, grade, tags, author, kind, machine)
            for index, author, kind, machine, label, star, grade, tags in rows.filter(rejected_by="")
            .order_by("-changed")
            .values_list(*columns)
        )
    ]
    found += [
        (ORDER[FINDING], feature, name, False, "", [], "findings.json", FINDING, {}) for feature, name in findings
    ]
    labels: dict[int, Label] = {}
    for rank, index, text, star, grade, tags, author, kind, machine in sorted(found, key=lambda one: one[0]):
        label = labels.setdefault(index, Label())
        if text and not label.text:
            label.text, label.author, label.kind = text, author if rank else "", kind
            label.machine = machine
        label.star |= star and not rank
        label.grade = label.grade or grade
        label.tags += tuple(tag for tag in tags if tag not in label.tags)
    return {index: label for index, label in labels.items() if label.text or label.star or label.grade or label.tags}
