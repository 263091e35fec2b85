"""How much do two SAEs at one place share? Asked for, computed by a worker, kept while both are as they were."""

import numpy as np
from django.db import transaction

from ...engine.training.dictionary_match import PAIR, VERDICTS, by_activity, by_decoder, verdicts
from ...jobs import lifecycle
from ...messages import BadRequest
from ...models import SAE, Checkpoint, Comparison, Judgement
from ...storage.kept_activations import kept_of
from .matches import decoder_chance, unit_rows_of, why_no_activity

SAID = {  # of a list: what its features are
    "matched": "are in both: each is the other's best by decoder, and above chance by decoder and by activations",
    "decoder only": "have a counterpart by decoder alone",
    "activations only": "have a counterpart by activations alone",
    "unmatched": "are in this one only: no counterpart above chance, or none that is mutual",
}


def about(sae: SAE, other: SAE) -> dict:
    """What a comparison depends on: it is told to be old where any of it has changed."""
    sides = [sae, other]
    return {"weights": [each.checkpoint_hash for each in sides], "statistics": [each.statistics_id for each in sides]}


def request(sae: SAE, other: SAE, user=None, how: str = "page") -> Comparison:
    """Queue it, unless one is at work. Raises BadRequest where the two read different places."""
    if why := sae.not_comparable(other).replace("encoder B has", "both have"):
        raise BadRequest(why)
    waits = Comparison.objects.of(sae, other).unfinished().filter(cancel_requested=False).first()
    return waits or lifecycle.enqueue(Comparison(sae=sae, other=other, requested_by=user, requested_how=how))


def request_for_labels() -> Comparison | None:
    """Within a run labels travel by themselves: queue one comparison of a checkpoint that something is kept of with
    another whose panels are there, unless there is one of these weights or one is at work."""
    kept = Judgement.objects.saying_something().exclude(kind=Judgement.Kind.MACHINE).values("weights")
    moments = Checkpoint.objects.filter(same_as=None, sae__statistics__quick=False).exclude(run=None)
    labelled = moments.filter(sae__checkpoint_hash__in=kept).select_related("sae")
    if Comparison.objects.unfinished().exists():
        return None
    for one in labelled:
        for other in moments.filter(run=one.run_id).exclude(sae=one.sae_id).select_related("sae"):
            sides = one.sae, other.sae
            if not (Comparison.objects.of(*sides) | Comparison.objects.of(*sides[::-1])).exists():
                return request(other.sae, one.sae, one.requested_by, how="labels")
    return None


def run_comparison(lease) -> None:
    """Carry out a Comparison that this process has the lease of."""
    work = Comparison.objects.select_related("sae__statistics__corpus", "other__statistics__corpus").get(
        pk=lease.work.pk
    )
    sae, other = work.sae, work.other
    lease.phase("reading both")
    own, others = unit_rows_of(sae), unit_rows_of(other)
    pairs = by_decoder(own, others, lambda done, total: lease.phase("comparing decoders", done, total))
    chance, why = decoder_chance(other), why_no_activity(sae, other)
    if not why:
        corpus = sae.statistics.corpus
        width = corpus.row_length - corpus.first
        by_activity(pairs, kept_of(sae), kept_of(other), sae.statistics.tokens, width,
                    lambda done, total: lease.phase("comparing activations", done, total))  # fmt: skip
    numbers = np.bincount(verdicts(pairs, chance), minlength=len(VERDICTS)).tolist()
    figures = {"shares": dict(zip(VERDICTS, numbers, strict=True)), "decoder_chance": chance, "why_no_activity": why}
    with transaction.atomic():
        lease.finish(pairs=pairs.tobytes(), figures=figures, about=about(sae, other))
        older = Comparison.objects.of(sae, other).filter(pk__lt=work.pk).exclude(state__in=Comparison.UNFINISHED)
        older.delete()


def pairs_of(comparison: Comparison) -> np.ndarray:
    """[d_sae] PAIR"""
    return np.frombuffer(comparison.pairs, PAIR)


def listed(comparison: Comparison, verdict: str) -> np.ndarray:
    """Features of a list of VERDICTS, the nearest first; raises BadRequest for other names. [n]"""
    if verdict not in VERDICTS:
        raise BadRequest(f"There is no list “{verdict}”. There are: {', '.join(VERDICTS)}.")
    pairs = pairs_of(comparison)
    chosen = np.flatnonzero(verdicts(pairs, comparison.figures["decoder_chance"]) == VERDICTS.index(verdict))
    return chosen[np.argsort(-pairs["cosine"][chosen], kind="stable")]
