"""How do an SAE's figures get from the engine into rows? The only writer of statistics and features.

A set of statistics is written beside the one that pages show, then shown in its place in one step; the old
one goes afterwards. What an interrupted run left behind is removed by the next one.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import islice

from django.db import transaction
from django.utils import timezone

from .. import __version__
from ..engine.results import DENSE_ABOVE, Encoders, FeatureStatistics, Summary
from ..messages import BadRequest
from ..models import SAE, Corpus, Feature, FeatureQuerySet, Job, Statistics
from . import twins
from .catch_up import encoder_columns
from .feature_rows import carry_over, row_of, save
from .readers import rows_of, vocabulary_of

BATCH = 500  # features written in one transaction, so that no other writer waits long
READERS_FINISH = 2.0  # seconds left to pages that began with the old statistics, before they are removed


def _new_set(sae: SAE, corpus: Corpus, encoder_b: SAE | None, summary: Summary, quick: bool = False) -> Statistics:
    return Statistics.objects.create(
        sae=sae,
        corpus=corpus,
        quick=quick,
        checkpoint_hash=sae.checkpoint_hash,
        reading_hash=sae.reading_hash,
        encoder_b=encoder_b,
        encoder_b_hash=encoder_b.checkpoint_hash if encoder_b else "",
        encoder_b_reading_hash=encoder_b.reading_hash if encoder_b else "",
        **_figures(summary),
    )


def write_block(lease, summary: Summary, features: Iterable[FeatureStatistics]) -> None:
    """Write some features of a job into the set that nobody is shown yet. Raises LeaseLost before anything of a batch
    is written."""
    job, statistics = lease.job, _set_of(lease, summary)
    for rows in _batches(_rows(job.sae, statistics, features, summary.encoders)):
        with transaction.atomic():
            lease.check()
            _block(statistics.pk, [row.index for row in rows]).delete()  # of a worker that was killed here
            save(rows)


def _set_of(lease, summary: Summary) -> Statistics:
    """The set that the job's parts write into; made by whichever is the first."""
    with transaction.atomic():
        job = Job.objects.select_for_update().select_related(None).get(pk=lease.job.pk)
        lease.check()
        if job.result is None:
            job.result = _new_set(*_of_job(lease.job), summary)
            Job.objects.filter(pk=job.pk).update(result=job.result)
        return job.result


# Quick results, which are shown while they are written


def wants_quick_results(sae: SAE) -> bool:
    """Whether readers are better off with figures on the first tokens: where no complete ones of these weights are
    shown."""
    shown = sae.statistics
    return shown is None or shown.quick or not shown.is_of(sae)


def show_quick(
    lease, summary: Summary, features: Iterable[FeatureStatistics], of: tuple[SAE, Corpus, None] | None = None
) -> Statistics | None:
    """Show a new set that has these features, and what is known of the SAE as a whole; None where readers see better
    by now. `of`: what it is of, where the lease is not of a job. Raises LeaseLost."""
    of = of or _of_job(lease.job)
    vocabulary_of(of[0])  # a tokenizer is not read while other writers wait
    with transaction.atomic():
        sae = SAE.objects.select_for_update().select_related(None).get(pk=of[0].pk)
        lease.check()
        if not wants_quick_results(sae):
            return None
        statistics = _new_set(*of, summary, quick=True)
        save(list(_rows(sae, statistics, features)))
        _switch(sae, statistics)
    return statistics


def add_quick(lease, statistics: Statistics, features: Iterable[FeatureStatistics]) -> None:
    """More features for a set that is shown already. Raises LeaseLost."""
    for rows in _batches(_rows(statistics.sae, statistics, features)):
        with transaction.atomic():
            lease.check()
            save(rows)


def complete_quick(lease, statistics: Statistics, summary: Summary) -> None:
    """All features are in a set of quick results, and `summary` says what had not been measured when it was shown."""
    with transaction.atomic():
        lease.check()
        Statistics.objects.filter(pk=statistics.pk).update(**_figures(summary), completed=timezone.now())
    twins.group(statistics)


# Replaced and shown


def _of_job(job: Job) -> tuple[SAE, Corpus, SAE | None]:
    return job.sae, job.corpus or job.sae.corpus, job.encoder_b


def take_back_block(job: Job, indices: range | list[int]) -> None:
    """Remove what was written of a block that will not be finished now, and the set when nothing else is in it."""
    result = Job.objects.values_list("result", flat=True).get(pk=job.pk)
    if result is not None:
        _block(result, indices).delete()
        if not Feature.objects.filter(statistics=result).exists():
            Statistics.objects.filter(pk=result).delete()


def _block(statistics_id: int, indices: range | list[int]) -> FeatureQuerySet:
    """The rows of some features, to be deleted: what is in them is not read."""
    written = Feature.objects.filter(statistics=statistics_id).only("pk")
    if isinstance(indices, range):
        return written.filter(index__range=(indices[0], indices[-1]))
    return written.filter(index__in=indices)


def show(lease) -> None:
    """Show what all parts of a job wrote, in one step that also ends the job; or put it among the others, where only
    some features were asked for. Raises LeaseLost, or BadRequest where the others are of another set by now."""
    job, before = lease.job, None
    with transaction.atomic():
        sae = SAE.objects.select_for_update().get(pk=job.sae_id)
        lease.check()
        result = Job.objects.select_related("result__corpus").get(pk=job.pk).result
        if job.features is None:
            before = _switch(sae, result)
        else:
            _join(sae.statistics, result, job)
        lease.finish_job()
    twins.group(result if job.features is None else sae.statistics)
    _remove_after_reading(before)


def _switch(sae: SAE, statistics: Statistics) -> int | None:
    """Show this set instead of the one shown; returns the id of that one. Quick results are completed later."""
    before, sae.statistics = sae.statistics_id, statistics
    statistics.completed = None if statistics.quick else timezone.now()
    statistics.save(update_fields=["completed"])
    sae.save(update_fields=["statistics"])
    return before


def _remove_after_reading(statistics_id: int | None) -> None:
    if statistics_id:
        time.sleep(READERS_FINISH)
        remove_set(statistics_id)


def _figures(summary: Summary) -> dict:
    names = (
        "tokens seed l0 explained_variance loss_clean loss_reconstructed loss_zero_ablated loss_recovered "
        "loss_tokens loss_rows loss_recovered_margin loss_cost_margin dead dense versions"
    )
    figures = {name: getattr(summary, name) for name in names.split()}
    figures["versions"] = {"saeviz": __version__, **figures["versions"]}
    figures["health"] = asdict(summary.health) if summary.health else {}
    # A figure that does not exist (no loss without tokens) is stored as none; databases do not agree on NaN.
    return {name: None if value != value else value for name, value in figures.items()}


def _join(shown: Statistics, result: Statistics, job: Job) -> None:
    """Put new figures of some features in the place of the old ones, in the set that is shown."""
    _check_same_set(shown, job, result)
    Statistics.objects.select_for_update().get(pk=shown.pk)  # nothing is worked out of rows that go
    old = shown.features.filter(index__in=job.features)
    is_whole = carry_over(old, result.features.all())
    old.only("pk").delete()
    result.features.update(statistics=shown)
    result.delete()
    if not is_whole:
        Statistics.objects.filter(pk=shown.pk).update(analysed={})  # shown until it is worked out again
    _count_anew(shown)


def _check_same_set(statistics: Statistics | None, job: Job, result: Statistics) -> None:
    """Positions of one corpus read against another would show the wrong text, and shares would not compare."""
    names = ("corpus_id", "tokens", "checkpoint_hash", "reading_hash")
    if statistics is None or any(getattr(statistics, name) != getattr(result, name) for name in names):
        now = f"on {statistics.tokens:,} tokens of {statistics.corpus}" if statistics else "gone"
        raise BadRequest(
            f"The statistics shown are now {now}; these features were computed on {result.tokens:,} tokens of "
            f"{job.corpus or job.sae.corpus}. Ask for them again, or compute all features."
        )
    same_encoder_b(statistics, job.encoder_b)


def _count_anew(statistics: Statistics) -> None:
    statistics.dead = statistics.features.filter(count=0).count()
    statistics.dense = statistics.features.filter(density__gt=DENSE_ABOVE).count()
    statistics.save(update_fields=["dead", "dense"])


def _rows(
    sae: SAE, statistics: Statistics, features: Iterable[FeatureStatistics], encoders: Encoders | None = None
) -> Iterator[Feature]:
    vocabulary, rows = vocabulary_of(sae), rows_of(statistics.corpus)
    for feature in features:
        row = row_of(feature, statistics, vocabulary, rows)
        if encoders is not None:
            encoder_columns.set_columns(row, encoders)
        yield row


def _batches(rows: Iterable[Feature]) -> Iterator[list[Feature]]:
    rows = iter(rows)
    while batch := list(islice(rows, BATCH)):
        yield batch


def same_encoder_b(shown: Statistics, encoder_b: SAE | None) -> SAE | None:
    """The encoder B, where the statistics shown were correlated with these weights of it. Raises BadRequest: features
    that are correlated with other weights than those beside them would stand under one name."""
    if not shown.correlated_with(encoder_b):
        before, now = shown.encoder_b_hash[:12] or "none", encoder_b.checkpoint_hash[:12] if encoder_b else "none"
        now = f"{now}, read in another way" if now == before else now
        raise BadRequest(
            f"The statistics shown of {shown.sae} were correlated with another encoder B (checkpoint {before}, now "
            f"{now}). Compute all its features."
        )
    return encoder_b


# Removed


def remove_leftovers(sae: SAE) -> None:
    """Remove the sets of statistics that pages do not show and no job goes on with."""
    shown = SAE.objects.values_list("statistics_id", flat=True).get(pk=sae.pk)
    in_work = Job.objects.filter(sae=sae).exclude(result=None).values("result")
    for statistics in sae.all_statistics.exclude(pk=shown).exclude(pk__in=in_work):
        remove_set(statistics.pk)


def remove_set(statistics_id: int) -> None:
    """A batch at a time, so that no other writer waits long."""
    features = Feature.objects.filter(statistics=statistics_id).only("pk")
    while batch := list(features.order_by("index").values_list("pk", flat=True)[:BATCH]):
        features.filter(pk__in=batch).delete()
    Statistics.objects.filter(pk=statistics_id).delete()
