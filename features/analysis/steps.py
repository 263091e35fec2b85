"""What follows from the kept activations of statistics that are shown: worked out step by step, after readers see them.

Each step has a version and is done once for a set of statistics, so sets of earlier versions get what they lack when a
worker has nothing else to do, and one that is broken off goes on with the step it was at.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from django.db import transaction

from ..engine.results import LOSS_ROWS
from ..models import SAE, Analysis, Statistics
from ..storage.kept_activations import kept_of
from ..storage.readers import documents_of, rows_of, subject_of, vocabulary_of
from . import rows as store
from .packed import tokens_payload


def request_analysis(sae: SAE, how: str = "") -> Analysis | None:
    """Queue what the statistics shown of an SAE lack, unless it waits already, has failed, or nothing was kept of them.

    Nobody is rung for: it is for workers that have nothing else to do.
    """
    with transaction.atomic():
        sae = SAE.objects.select_for_update(of=("self",)).select_related("statistics__kept").get(pk=sae.pk)
        statistics = sae.statistics
        if statistics is None or statistics.quick or not lacking(statistics) or not _is_kept(statistics):
            return None
        if statistics.analyses.exclude(state=Analysis.State.DONE).exists():
            return None
        return Analysis.objects.create(sae=sae, statistics=statistics, requested_how=how)


def request_missing() -> int:
    """Of all SAEs; how many were queued."""
    return sum(request_analysis(sae, "earlier version") is not None for sae in SAE.objects.exclude(statistics=None))


def lacking(statistics: Statistics) -> list[str]:
    """The steps that a set of statistics has not in the version of today."""
    return [step.name for step in STEPS if statistics.analysed.get(step.name) != step.version]


def _is_kept(statistics: Statistics) -> bool:
    kept = getattr(statistics, "kept", None)
    return kept is not None and kept.is_complete


def run_analysis(lease) -> None:
    """Carry out an Analysis that this process has the lease of; between two steps more urgent work goes first."""
    sae = SAE.objects.for_pages().get(pk=lease.work.sae_id)
    if sae.statistics_id == lease.work.statistics_id:  # else others are shown by now, which have one of their own
        work = Work(lease, sae)
        for step in STEPS:
            if step.name in lacking(work.statistics):
                of_sae = step.run(work)
                store.finish_step(lease, work.statistics, step.name, step.version, of_sae)
                if lacking(work.statistics) and lease.gives_way():
                    return
    lease.finish()


class Work:
    """What steps read: each thing loaded when a step first asks for it."""

    def __init__(self, lease, sae: SAE):
        self.lease, self.sae, self.statistics = lease, sae, sae.statistics
        self.corpus = sae.statistics.corpus
        self.first = self.corpus.first

    @cached_property
    def kept(self):
        """Raises NothingKept."""
        return kept_of(self.sae)

    @cached_property
    def rows(self) -> np.ndarray:
        """The rows that activations are kept of. [rows, length]"""
        return rows_of(self.corpus)[: self.kept.tokens // (self.corpus.row_length - self.first)]

    @cached_property
    def vocabulary(self):
        return vocabulary_of(self.sae)

    @cached_property
    def subject(self):
        """Torch comes into the process here."""
        self.lease.phase("loading the model")
        return subject_of(self.sae)

    def progress(self, phase: str) -> Callable[[int, int], None]:
        """Tells how far a phase is, about once a second; raises LeaseLost."""
        from ..engine.collect.collected import ThrottledProgress

        report = ThrottledProgress(lambda now: self.lease.phase(now.phase, now.done, now.total))
        return lambda done, total: report(phase, done, total)

    def write(self, step: str, columns=None, payloads=None) -> None:
        store.write_step(self.lease, self.statistics, step, columns, payloads)


@dataclass(frozen=True)
class Step:
    name: str
    version: int  # a new one where its figures change: then they are worked out again
    run: Callable[[Work], dict | None]  # writes rows; what it says of the SAE as a whole


# The steps


def importance(work: Work) -> dict:
    if why_not := work.sae.why_no_losses or work.sae.why_no_effects:
        return {"why_not": why_not}
    from ..engine.analysis.importance import importances

    known = work.statistics.seed, work.progress("importance")
    found = importances(work.subject, work.kept, work.rows, work.first, work.statistics.tokens, *known)
    columns = (found.positives, found.importance, found.low, found.high, found.helps)
    payloads = [
        {"positives": n, "importance": value, **({"low": low, "high": high} if low == low else {}), "helps": helps}
        if n
        else None
        for n, value, low, high, helps in zip(*(column.tolist() for column in columns), strict=True)
    ]
    margin = (found.high - found.low) / 2
    work.write("importance", {"importance": found.importance, "importance_margin": margin}, payloads)
    curve = found.curve
    points = {"features": curve.features.tolist(), "shares": curve.shares.round(4).tolist()}
    drawn = {"rows": found.rows, "positions": found.positions}
    return {**drawn, **points, "total": curve.total, "of": curve.of, "carried": curve.carried}


def missed(work: Work) -> dict:
    if why_not := work.sae.why_no_losses:
        return {"why_not": why_not}
    from ..engine.analysis import missed
    from ..engine.weights.summary import loss_rows

    work.lease.phase("what the SAE misses")
    chosen = loss_rows(len(work.rows), work.statistics.loss_rows or LOSS_ROWS)
    found = missed.missed(work.subject, work.rows, chosen, work.vocabulary.special)
    return vars(found) if found else {"why_not": "No token that counts is predicted."}


def dead(work: Work) -> dict:
    from ..engine.analysis import dead, importance

    features = np.flatnonzero(work.kept.counts == 0)
    if not len(features):
        return {"tokens": 0, "on_bos": 0}
    chosen = importance.drawn_rows(len(work.rows), work.rows.shape[1], work.statistics.seed)
    how = work.first, work.corpus.bos, features, work.progress("dead features")
    found = dead.nearest(work.subject, work.rows, chosen, *how)
    payloads = [None] * work.kept.d_sae
    columns = (found.features, found.values, found.thresholds, found.rows, found.positions, found.on_bos)
    for index, value, threshold, row, position, on_bos in zip(*(c.tolist() for c in columns), strict=True):
        near = {"value": value, "threshold": threshold, "row": row, "position": position} if row >= 0 else {}
        payloads[index] = near | {"tokens": found.tokens, "on_bos": on_bos}
    work.write("dead", payloads=payloads)
    return {"tokens": found.tokens, "on_bos": int(found.on_bos.sum())}


def descriptions(work: Work) -> dict:
    from .descriptions import describe

    work.lease.phase("descriptions")
    given = work.statistics, work.kept, work.rows, work.vocabulary
    return describe(*given, work.lease.check, work.progress("descriptions"))


def tokens(work: Work) -> dict:
    from ..engine.analysis.token_statistics import LEAST_ACTIVE, ONLY, token_statistics

    documents = documents_of(work.corpus)
    text = _text(work, documents)
    entropies, skews = np.full((2, work.kept.d_sae), np.nan)
    payloads: list[dict | None] = []
    for found in token_statistics(work.kept, text, work.progress("token statistics")):
        payloads.append(found and tokens_payload(found))
        if found:
            entropies[found.index], skews[found.index] = found.entropy, found.skew
    work.write("tokens", {"token_entropy": entropies, "skew": skews}, payloads)
    often = [one for one in payloads if one and one["count"] >= LEAST_ACTIVE]
    return {
        "kinds": list(documents.kinds) if documents else [],
        "positions": [text.first, work.corpus.row_length],
        "of": len(often),
        "one_token": sum(one["commonest"] >= ONLY for one in often),
        "one_position": sum(one["position"][1] >= ONLY for one in often),
    }


def _text(work: Work, documents):
    """What stands on each token; of whole rows."""
    from ..engine.analysis.token_statistics import Text

    if documents is None:
        return Text.of(work.rows, work.first, work.vocabulary.special)
    kinds = documents.kinds_of(np.arange(work.rows.size)).reshape(work.rows.shape)[:, work.first :]
    return Text.of(work.rows, work.first, work.vocabulary.special, kinds, len(documents.kinds))


STEPS = (
    Step("descriptions", 1, descriptions),  # without the model, and so the first
    Step("tokens", 1, tokens),  # the same
    Step("importance", 1, importance),
    Step("missed", 1, missed),
    Step("dead", 1, dead),
)
