"""What was kept about a feature's counterpart in another checkpoint or SAE? Inherited until somebody confirms it.

Counterparts are those that a comparison of the two SAEs calls "matched" (docs/definitions.md); it is read from its
row.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from django.db.models import Q

from ..engine.training.dictionary_match import PAIR, VERDICTS, verdicts
from ..models import SAE, Comparison, Judgement, Rejection
from .reader import Reader

KIND = "inherited"  # beside those of Judgement.Kind
TRAVEL = ("star", "label", "note", "tags")  # a grade is of what was read there


@dataclass(frozen=True)
class Match:
    """Of a feature here with one there."""

    feature: int  # there
    cosine: float
    chance: float  # that a direction that has nothing to do with the other SAE reaches once in a hundred times
    correlation: float
    correlation_chance: float


@dataclass(frozen=True)
class LabelSource:
    """Another SAE, and which of its features are matched with which of this one's."""

    sae: SAE
    name: str
    matches: dict[int, Match]  # by the feature here


@dataclass(frozen=True)
class Inherited:
    """A judgement of a counterpart."""

    index: int
    source: LabelSource
    match: Match
    row: Judgement
    rejected_by: str = ""

    @property
    def whence(self) -> str:
        return f"inherited from {self.source.name}, cosine {self.match.cosine:.2f}, chance {self.match.chance:.2f}"

    @property
    def said(self) -> dict:
        return {name: getattr(self.row, name) for name in TRAVEL}


def sources_of(sae: SAE) -> list[LabelSource]:
    """Those that the SAE's present weights have been compared with, in either direction; of each the newest."""
    rows = Comparison.objects.filter(Q(sae=sae) | Q(other=sae), state=Comparison.State.DONE).exclude(pairs=None)
    found: dict[int, LabelSource] = {}
    for row in rows.defer("pairs").select_related("sae", "other").newest_first():
        forward = row.sae_id == sae.pk
        other = row.other if forward else row.sae
        if row.about.get("weights") != [row.sae.checkpoint_hash, row.other.checkpoint_hash] or other.pk in found:
            continue
        found[other.pk] = LabelSource(other, _name(other, sae), _matches(row.pk, forward))
    return list(found.values())


@lru_cache(maxsize=32)
def _matches(comparison: int, forward: bool) -> dict[int, Match]:
    """By the feature of the one asked about; `forward`: it is the comparison's first."""
    row = Comparison.objects.get(pk=comparison)
    pairs, chance = np.frombuffer(row.pairs, PAIR), float(row.figures["decoder_chance"])
    matched = np.flatnonzero(verdicts(pairs, chance) == VERDICTS.index("matched"))
    found = {}
    for index in matched.tolist():
        pair = pairs[index]
        here, there = (index, int(pair["decoder"])) if forward else (int(pair["decoder"]), index)
        figures = (float(pair[name]) for name in ("correlation", "correlation_chance"))
        found[here] = Match(there, float(pair["cosine"]), chance, *figures)
    return found


def _name(other: SAE, sae: SAE) -> str:
    """As a reader of `sae` calls it: by its step where both are of one run."""
    moment = other.checkpoints.filter(same_as=None).exclude(run=None).select_related("run").order_by("-pk").first()
    if moment is None:
        return other.name
    step = f"step {moment.step:,}" if moment.step is not None and moment.unit == "steps" else moment.label
    return step if sae.checkpoints.filter(run=moment.run_id).exists() else f"{moment.run.name}, {step}"


def inherited(sae: SAE, indices: set[int] | None = None, rejected: bool = False) -> list[Inherited]:
    """Of these features, or of all: what travels to them, but what a person here says already. With `rejected`, those
    that somebody has rejected as well, which say by whom."""
    return _inherited(sae, sources_of(sae), indices, rejected)


def _inherited(sae: SAE, sources: list[LabelSource], indices: set[int] | None, rejected: bool) -> list[Inherited]:
    found: list[Inherited] = []
    if not sources:
        return found
    refused = {
        (row.index, row.source_weights, row.source_index): row.by
        for row in Rejection.objects.filter(weights=sae.checkpoint_hash)
    }
    said = _said_here(sae, indices)
    for source in sources:
        wanted = {match.feature: (here, match) for here, match in source.matches.items() if _is_in(here, indices)}
        rows = Judgement.objects.of(source.sae).saying_something().exclude(kind=Judgement.Kind.MACHINE)
        if indices is not None:
            rows = rows.filter(index__in=list(wanted))
        for row in rows.order_by("-changed"):
            here, match = wanted.get(row.index, (None, None))
            if here is None or _is_said(row, said.get(here, ())):
                continue
            by = refused.get((here, source.sae.checkpoint_hash, row.index), "")
            if not by or rejected:
                found.append(Inherited(here, source, match, row, by))
    return found


def _is_in(index: int, indices: set[int] | None) -> bool:
    return indices is None or index in indices


def _said_here(sae: SAE, indices: set[int] | None) -> dict[int, list[Judgement]]:
    said: dict[int, list[Judgement]] = {}
    rows = Judgement.objects.of(sae).filter(kind=Judgement.Kind.PERSON).saying_something()
    for row in rows if indices is None else rows.filter(index__in=indices):
        said.setdefault(row.index, []).append(row)
    return said


def _is_said(row: Judgement, here) -> bool:
    """Whether there is nothing in it, a star left out, that no person says of the feature here."""
    if not (row.label or row.note or row.tags):
        return not row.star or any(own.star and own.author == row.author for own in here)
    return any(
        row.label in ("", own.label) and row.note in ("", own.note) and set(row.tags) <= set(own.tags) for own in here
    )


def reject(sae: SAE, index: int, weights: str, feature: int, reader: Reader) -> None:
    """That the two are the same: what was kept of the one no longer stands at the other."""
    key = {"weights": sae.checkpoint_hash, "index": index, "source_weights": weights[:64], "source_index": feature}
    Rejection.objects.get_or_create(**key, defaults={"by": reader.name})


def take_back(sae: SAE, index: int, weights: str, feature: int) -> None:
    """A rejection."""
    key = {"weights": sae.checkpoint_hash, "index": index, "source_weights": weights[:64], "source_index": feature}
    Rejection.objects.filter(**key).delete()


def to_dict(one: Inherited) -> dict:
    """For a feature's panel."""
    match, source = one.match, one.source
    told = {
        **one.said,
        "author": one.row.author,
        "whence": one.whence,
        "weights": source.sae.checkpoint_hash,
        "feature": match.feature,
        "address": source.sae.feature_url(match.feature),
        "cosine": round(match.cosine, 4),
        "chance": round(match.chance, 4),
        "rejected_by": one.rejected_by,
    }
    return told | {"correlation": round(match.correlation, 4), "correlation_chance": round(match.correlation_chance, 4)}


def compared_with(sae: SAE) -> list[dict]:
    """Other SAEs at the same place that something is kept of: how much, and how much of it has come here."""
    counts: dict[str, int] = {}
    rows = Judgement.objects.saying_something().exclude(kind=Judgement.Kind.MACHINE)
    for weights in rows.exclude(weights=sae.checkpoint_hash).values_list("weights", flat=True):
        counts[weights] = counts.get(weights, 0) + 1
    others = SAE.objects.for_pages().filter(checkpoint_hash__in=counts).exclude(pk=sae.pk)
    come: dict[int, int] = {}
    sources = sources_of(sae)
    for one in _inherited(sae, sources, None, False):
        come[one.source.sae.pk] = come.get(one.source.sae.pk, 0) + 1
    known = {source.sae.pk for source in sources}
    return [
        {"sae": other, "name": _name(other, sae), "count": counts[other.checkpoint_hash]}
        | {"is_compared": other.pk in known, "come": come.get(other.pk, 0)}
        for other in others
        if not sae.not_comparable(other)
    ]
