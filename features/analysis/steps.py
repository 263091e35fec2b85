"""What follows from the kept activations of statistics that are shown: worked out step by step, after readers see them.

Each step has a version and is done once for a set of statistics, so sets of earlier versions get what they lack when a
worker has nothing else to do, and one that is broken off goes on with the step it was at. A step that fails holds up
none of the others; it is tried again when it, or saeviz, has another version, or when somebody asks for it.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from django.db import DatabaseError, transaction

from .. import __version__
from ..engine.ask.scores import compile_loops
from ..engine.results import LOSS_ROWS, Cancelled
from ..engine.store.kept_entries import KeptEntriesDamaged
from ..messages import is_disk_full, sentence
from ..models import SAE, Analysis, FeatureFlag, Statistics
from ..storage.kept_activations import NothingKept, kept_of
from ..storage.readers import documents_of, rows_of, subject_of, vocabulary_of
from . import rows as store
from .packed import tokens_payload

log = logging.getLogger(__name__)


def request_analysis(sae: SAE, how: str = "") -> Analysis | None:
    """Queue what the statistics shown of an SAE lack, unless it waits already, has failed or was cancelled as it is in
    this version, or nothing was kept of them.

    Nobody is rung for: it is for workers that have nothing else to do.
    """
    with transaction.atomic():
        sae = SAE.objects.select_for_update(of=("self",)).select_related("statistics__kept").get(pk=sae.pk)
        statistics = sae.statistics
        if statistics is None or statistics.quick or not _is_kept(statistics) or not _is_due(statistics):
            return None
        asked = {"versions": _versions(statistics), "requested_how": how}
        return Analysis.objects.create(sae=sae, statistics=statistics, **asked)


def request_missing() -> int:
    """Of all SAEs; how many were queued."""
    return sum(request_analysis(sae, "earlier version") is not None for sae in SAE.objects.exclude(statistics=None))


def lacking(statistics: Statistics) -> list[str]:
    """The steps that a set of statistics has not in the version of today."""
    return [step.name for step in STEPS if statistics.analysed.get(step.name) != step.version]


def _versions(statistics: Statistics) -> dict:
    """Of saeviz and of the steps that are lacking."""
    names = lacking(statistics)
    return {"saeviz": __version__} | {step.name: step.version for step in STEPS if step.name in names}


def _is_due(statistics: Statistics) -> bool:
    """Whether a step is lacking that nobody is at, that did not fail in this version, and that nobody has cancelled."""
    due = dict(_versions(statistics))
    del due["saeviz"]
    for ended in statistics.analyses.exclude(state=Analysis.State.DONE):
        if ended.state in Analysis.UNFINISHED:
            return False
        if ended.state == Analysis.State.CANCELLED or ended.versions.get("saeviz") == __version__:
            due = {name: version for name, version in due.items() if ended.versions.get(name) != version}
    return bool(due)


def _is_kept(statistics: Statistics) -> bool:
    kept = getattr(statistics, "kept", None)
    return kept is not None and kept.is_complete


def run_analysis(lease) -> None:
    """Carry out an Analysis that this process has the lease of; between two steps more urgent work goes first."""
    sae = SAE.objects.for_pages().get(pk=lease.work.sae_id)
    if sae.statistics_id == lease.work.statistics_id:  # else others are shown by now, which have one of their own
        work, wrong = Work(lease, sae), {}
        compile_loops(work.kept)
        Analysis.objects.filter(pk=lease.work.pk).update(versions=_versions(work.statistics))
        for step in [step for step in STEPS if step.name in lacking(work.statistics)]:
            if why := _done(work, step):
                wrong[step] = why
            if len(lacking(work.statistics)) > len(wrong) and lease.gives_way():
                return
        if wrong:
            raise ValueError(_in_words(wrong))
    lease.finish()


def _done(work: "Work", step: "AnalysisStep") -> str:
    """Do a step; "" or what went wrong in it. Raises what would go wrong in every other as well."""
    try:
        of_sae = step.run(work)
        store.finish_step(work.lease, work.statistics, step.name, step.version, of_sae)
        return ""
    except (Cancelled, NothingKept, KeptEntriesDamaged, DatabaseError):
        raise
    except Exception as error:  # whatever a model, its files or the machine does: other steps may do without
        if is_disk_full(error):
            raise
        log.exception("Step %s of %s failed", step.name, work.lease)
        return sentence(error)


def _in_words(wrong: dict["AnalysisStep", str]) -> str:
    """Which steps failed and why, the same reason said once."""
    told: dict[str, list[str]] = {}
    for step, why in wrong.items():
        told.setdefault(why, []).append(step.title or step.name)
    return " ".join(f"{', '.join(names).capitalize()}: {why.rstrip('.')}." for why, names in told.items())


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

    def write(self, step: str, columns=None, payloads=None, flags=None) -> None:
        store.write_step(self.lease, self.statistics, step, columns, payloads, flags)


@dataclass(frozen=True)
class AnalysisStep:
    name: str
    version: int  # a new one where its figures change: then they are worked out again
    run: Callable[[Work], dict | None]  # writes rows; what it says of the SAE as a whole
    title: str = ""  # as pages name it


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
    on_bos = np.zeros(work.kept.d_sae, bool)
    on_bos[found.features] = found.on_bos
    work.write("dead", payloads=payloads, flags={FeatureFlag.BOS_ONLY: on_bos})
    return {"tokens": found.tokens, "on_bos": int(found.on_bos.sum())}


def descriptions(work: Work) -> dict:
    from .descriptions import describe

    work.lease.phase("descriptions")
    given = work.statistics, work.kept, work.rows, work.vocabulary
    return describe(*given, work.lease.check, work.progress("descriptions"))


def tokens(work: Work) -> dict:
    from ..engine.analysis.token_statistics import token_statistics
    from ..engine.training.record import LEAST_ACTIVE

    documents = documents_of(work.corpus)
    text = _text(work, documents)
    entropies, skews = np.full((2, work.kept.d_sae), np.nan)
    one_token, one_position = np.zeros((2, work.kept.d_sae), bool)
    payloads: list[dict | None] = []
    for found in token_statistics(work.kept, text, work.progress("token statistics")):
        payloads.append(found and tokens_payload(found))
        if found:
            entropies[found.index], skews[found.index] = found.entropy, found.skew
            one_token[found.index], one_position[found.index] = found.is_on_one_token, found.is_at_one_position
    flags = {FeatureFlag.ONE_TOKEN: one_token, FeatureFlag.ONE_POSITION: one_position}
    work.write("tokens", {"token_entropy": entropies, "skew": skews}, payloads, flags)
    return {
        "kinds": list(documents.kinds) if documents else [],
        "positions": [text.first, work.corpus.row_length],
        "of": int((work.kept.counts >= LEAST_ACTIVE).sum()),
        "one_token": int(one_token.sum()),
        "one_position": int(one_position.sum()),
    }


def _text(work: Work, documents):
    """What stands on each token; of whole rows."""
    from ..engine.analysis.token_statistics import TokenText

    if documents is None:
        return TokenText.of(work.rows, work.first, work.vocabulary.special)
    kinds = documents.kinds_of(np.arange(work.rows.size)).reshape(work.rows.shape)[:, work.first :]
    return TokenText.of(work.rows, work.first, work.vocabulary.special, kinds, len(documents.kinds))


STEPS = (
    AnalysisStep("descriptions", 1, descriptions),  # without the model, and so the first
    AnalysisStep("tokens", 2, tokens, "token statistics"),  # the same
    AnalysisStep("importance", 1, importance),
    AnalysisStep("missed", 1, missed, "what the SAE misses"),
    AnalysisStep("dead", 2, dead, "dead features"),
)
