"""How do an SAE's figures get from the engine into rows? The only writer of statistics and features.

A set of statistics is written beside the one that pages show, then shown in its place in one step; the old
one goes afterwards. What an interrupted run left behind is removed by the next one.
"""

import re
import time
from datetime import timedelta
from itertools import islice

import numpy as np
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from . import __version__, jobs, parts
from .engine.results import Progress
from .jobs import cancel, pick_up_silent_jobs, retry  # noqa: F401  (the other doors to a job's life)
from .models import DENSE_ABOVE, SAE, Corpus, Feature, Job, Statistics
from .payload import pack
from .vocabularies import rows_of, vocabulary_of

BATCH = 500  # features written in one transaction, so that no other writer waits long
KEPT_FOR = timedelta(days=1)  # what a job that failed or was cancelled has done, to be tried again
READERS_FINISH = 2.0  # seconds left to pages that began with the old statistics, before they are removed
DEVICES = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


class BadRequest(ValueError):
    """Something was asked that cannot be computed; the message says what can."""


# Asked for


def request_statistics(
    sae: SAE,
    tokens: int | None = None,
    device: str = "auto",
    features=None,
    user=None,
    how: str = "",
    seed: int | None = None,
    send: bool = True,
    corpus: Corpus | None = None,
) -> Job:
    """Queue a computation: of all features, or of those listed, which then are replaced in the set shown.

    Raises BadRequest for what cannot be computed and jobs.Unfinished where all features are being computed
    already. `job.note` says so when the queue is away; the job then starts as soon as it is back. With
    `send=False` the caller runs it, and goes on with one like it that was interrupted. Without a `corpus` it is
    the one shown for chosen features, else the SAE's; so is encoder B.
    """
    shown = sae.statistics if features is not None else None
    if features is not None and shown is None:
        raise BadRequest(f"{sae} has no statistics yet; compute all its features first.")
    corpus = _checked_corpus(sae, corpus or (shown.corpus if shown else sae.corpus))
    if shown and corpus != shown.corpus:
        raise BadRequest(f"{sae} shows statistics on '{shown.corpus}'; compute all its features on '{corpus}' first.")
    if tokens is None:
        tokens = shown.tokens if shown else min(settings.SAEVIZ_TOKENS, corpus.tokens)
    if seed is None:
        seed = shown.seed if shown else 0
    job = Job(
        sae=sae,
        corpus=corpus,
        tokens=_checked_tokens(corpus, tokens),
        device=_checked_device(device),
        features=_checked_features(sae, features),
        encoder_b=_same_encoder_b(shown, shown.encoder_b) if shown else _checked_encoder_b(sae),
        seed=_checked_seed(seed),
        requested_by=user,
        requested_how=how,
    )
    if not send and (before := jobs.interrupted(job)):
        return jobs.retry(before, user, send=False)
    return jobs.enqueue(job, send=send)


def _checked_corpus(sae, corpus):
    """Token rows are ids: made with another model's tokenizer, they would read as nonsense."""
    own = sae.corpus.tokenizer
    if own and corpus.tokenizer and corpus.tokenizer != own:
        raise BadRequest(
            f"The corpus '{corpus}' was made with another tokenizer ({corpus.tokenizer[:12]}) than that of "
            f"{sae} ({own[:12]}). Make one with `manage.py add_corpus PATH --model {sae.model_path}`."
        )
    return corpus


def _checked_tokens(corpus, tokens):
    has = corpus.tokens
    if tokens < 1:
        raise BadRequest(f"Asked for {tokens:,} tokens; at least 1 is needed, and {has:,} are there.")
    if tokens > has:
        raise BadRequest(
            f"Asked for {tokens:,} tokens; the corpus '{corpus}' has {has:,}. Ask for fewer."
        )
    return tokens


def _checked_device(device):
    if not DEVICES.fullmatch(device):
        raise BadRequest(f"No device is called {device!r}. Say auto, cpu, mps, cuda or cuda:0.")
    return device


def _checked_features(sae, features):
    if features is None:
        return None
    wrong = [i for i in features if not 0 <= i < sae.d_sae]
    if wrong:
        raise BadRequest(f"{sae} has features 0 to {sae.d_sae - 1:,}; there is no {wrong[0]:,}.")
    if not features:
        raise BadRequest("No feature was named. Name at least one, or ask for all.")
    return sorted(set(features))


def _checked_encoder_b(sae):
    b = sae.encoder_b
    if b and (why := sae.not_comparable(b)):
        raise BadRequest(f"{why} Choose another in the administration, or none.")
    return b


def _same_encoder_b(shown, b):
    """Correlations with other weights than those of the other features would stand under one name."""
    if _hash_of(b) != shown.encoder_b_hash:
        raise BadRequest(
            f"The statistics shown of {shown.sae} were correlated with another encoder B (checkpoint "
            f"{shown.encoder_b_hash[:12] or 'none'}, now {_hash_of(b)[:12] or 'none'}). Compute all its features."
        )
    return b


def _hash_of(b) -> str:
    return b.checkpoint_hash if b else ""


def _checked_seed(seed):
    if not 0 <= seed < 2**31:
        raise BadRequest(f"The seed is {seed:,}; it has to lie between 0 and {2**31 - 1:,}.")
    return seed


def sentence(error, job=None) -> str:
    """What a user should read of an error."""
    if type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError):
        if job is None:
            return "Out of memory. Retry when less is running, or on a machine with more."
        return f"Out of memory on {job.device} with {job.tokens:,} tokens. Retry with fewer, or elsewhere."
    if isinstance(error, (ValueError, OSError)) and str(error):
        return str(error)
    return f"{type(error).__name__}: {error}"


# Stored


def store(sae: SAE, collected, *, progress=None) -> Statistics:
    """Write what the engine collected of all features of an SAE, and show it when it is whole."""
    statistics = _new_set(sae, sae.corpus, sae.encoder_b, collected.summary)
    try:
        for rows in _batches(_rows(sae, statistics, collected.features())):
            with transaction.atomic():
                Feature.objects.bulk_create(rows)
            if progress:
                progress(Progress("features", rows[-1].index + 1, sae.d_sae))
        with transaction.atomic():
            old = _switch(SAE.objects.select_for_update().get(pk=sae.pk), statistics)
    except BaseException:
        _remove(statistics.pk)
        raise
    sae.statistics = statistics
    _remove_after_reading(old)
    return statistics


def _new_set(sae, corpus, b, summary):
    return Statistics.objects.create(
        sae=sae,
        corpus=corpus,
        checkpoint_hash=sae.checkpoint_hash,
        encoder_b=b,
        encoder_b_hash=_hash_of(b),
        **_figures(summary),
    )


def write_block(claim, summary, features) -> None:
    """Write some features of a job into the set that nobody is shown yet."""
    job, statistics = claim.job, _set_of(claim, summary)
    for rows in _batches(_rows(job.sae, statistics, features)):
        with transaction.atomic():
            claim.check()
            _block(statistics.pk, [row.index for row in rows]).delete()  # of a worker that was killed here
            Feature.objects.bulk_create(rows)


def _set_of(claim, summary):
    """The set that the job's parts write into; made by whichever is the first."""
    with transaction.atomic():
        job = Job.objects.select_for_update().select_related(None).get(pk=claim.job.pk)
        claim.check()
        if job.result is None:
            job.result = _new_set(claim.job.sae, job.corpus or claim.job.sae.corpus, job.encoder_b, summary)
            Job.objects.filter(pk=job.pk).update(result=job.result)
        return job.result


def take_back_block(job: Job, indices) -> None:
    """Remove what was written of a block that will not be finished now, and the set when nothing else is in it."""
    result = Job.objects.values_list("result", flat=True).get(pk=job.pk)
    if result is not None:
        _block(result, indices).delete()
        if not Feature.objects.filter(statistics=result).exists():
            Statistics.objects.filter(pk=result).delete()


def _block(statistics_id, indices):
    written = Feature.objects.filter(statistics=statistics_id)
    if isinstance(indices, range):
        return written.filter(index__range=(indices[0], indices[-1]))
    return written.filter(index__in=indices)


def show(claim) -> None:
    """Show what all parts of a job wrote, in one step that also ends the job; or put it among the others, where only
    some features were asked for."""
    job, old = claim.job, None
    with transaction.atomic():
        sae = SAE.objects.select_for_update().get(pk=job.sae_id)
        claim.check()
        result = Job.objects.select_related("result__corpus").get(pk=job.pk).result
        if job.features is None:
            old = _switch(sae, result)
        else:
            _join(sae.statistics, result, job)
        claim.finish_job()
    _remove_after_reading(old)


def _switch(sae, statistics):
    """Show this set instead of the one shown; returns the id of that one."""
    old, sae.statistics = sae.statistics_id, statistics
    statistics.completed = timezone.now()
    statistics.save(update_fields=["completed"])
    sae.save(update_fields=["statistics"])
    return old


def _remove_after_reading(old):
    if old:
        time.sleep(READERS_FINISH)
        _remove(old)


def _figures(summary):
    names = (
        "tokens seed l0 explained_variance loss_clean loss_reconstructed loss_zero_ablated loss_recovered "
        "loss_tokens dead dense versions"
    )
    figures = {name: getattr(summary, name) for name in names.split()}
    figures["versions"] = {"saeviz": __version__, **figures["versions"]}
    # A figure that does not exist (no loss without tokens) is stored as none; databases do not agree on NaN.
    return {name: None if value != value else value for name, value in figures.items()}


def _join(shown, result, job):
    """Put new figures of some features in the place of the old ones, in the set that is shown."""
    _check_same_set(shown, job, result)
    shown.features.filter(index__in=job.features).delete()
    result.features.update(statistics=shown)
    result.delete()
    _count_anew(shown)


def _check_same_set(statistics, job, summary):
    """Positions of one corpus read against another would show the wrong text, and shares would not compare."""
    shown = statistics and (statistics.corpus_id, statistics.tokens, statistics.checkpoint_hash)
    if shown != (job.corpus_id or job.sae.corpus_id, summary.tokens, job.sae.checkpoint_hash):
        now = f"on {statistics.tokens:,} tokens of {statistics.corpus}" if statistics else "gone"
        raise BadRequest(
            f"The statistics shown are now {now}; these features were computed on {summary.tokens:,} tokens of "
            f"{job.corpus or job.sae.corpus}. Ask for them again, or compute all features."
        )
    _same_encoder_b(statistics, job.encoder_b)


def _count_anew(statistics):
    statistics.dead = statistics.features.filter(count=0).count()
    statistics.dense = statistics.features.filter(density__gt=DENSE_ABOVE).count()
    statistics.save(update_fields=["dead", "dense"])


def _rows(sae, statistics, features):
    vocabulary, rows = vocabulary_of(sae), rows_of(statistics.corpus)
    for feature in features:
        yield _row(feature, statistics, vocabulary, rows)


def _row(feature, statistics, vocabulary, corpus):
    top, boosted = feature.top, feature.positive_logits.tokens
    fired = corpus[top.rows[0], top.positions[0]] if len(top.rows) else None
    return Feature(
        statistics=statistics,
        index=feature.index,
        tokens=feature.tokens,
        count=feature.count,
        density=feature.density,
        maximum=feature.maximum,
        mean=feature.mean,
        top_token=_label(vocabulary, fired),
        top_logit=_label(vocabulary, boosted[0] if len(boosted) else None),
        quantiles=np.asarray(feature.quantiles, np.float32).tobytes(),
        payload=pack(feature),
    )


def _label(vocabulary, token):
    if (
        token is None or token >= vocabulary.size
    ):  # models may have more outputs than their tokenizer has tokens
        return ""
    return vocabulary.label(int(token)).replace("\0", "␀")[:200]  # PostgreSQL stores no NUL


def _batches(rows, size=BATCH):
    rows = iter(rows)
    while batch := list(islice(rows, size)):
        yield batch


# Removed


def remove_leftovers(sae: SAE) -> None:
    """Remove the sets of statistics that pages do not show and no job goes on with."""
    shown = SAE.objects.values_list("statistics_id", flat=True).get(pk=sae.pk)
    in_work = Job.objects.filter(sae=sae).exclude(result=None).values("result")
    for left in sae.all_statistics.exclude(pk=shown).exclude(pk__in=in_work):
        _remove(left.pk)


def begin_anew(job: Job) -> None:
    """Before a computation of all features: what others like it, that ended early, have done is of no use now."""
    if job.features is None:
        for other in job.sae.jobs.filter(features=None, state__in=Job.ENDED_EARLY).exclude(inputs=""):
            parts.forget(other)
    remove_leftovers(job.sae)


def forget_long_ended() -> None:
    """What jobs that ended early have done is kept to be tried again, but not for ever."""
    long_ago = timezone.now() - KEPT_FOR
    for job in Job.objects.filter(state__in=Job.ENDED_EARLY, finished__lt=long_ago).exclude(inputs=""):
        parts.forget(job)
        remove_leftovers(job.sae)


def _remove(statistics_id):
    """A batch at a time, so that no other writer waits long."""
    features = Feature.objects.filter(statistics=statistics_id)
    while some := list(features.order_by("index").values_list("pk", flat=True)[:BATCH]):
        features.filter(pk__in=some).delete()
    Statistics.objects.filter(pk=statistics_id).delete()
