"""How does a job live: asked for, cancelled, lost and found again, told of? What becomes of its parts: leases.py.

Every change of state is one UPDATE that names the state it expects, or is made while the job's row is locked, so
two workers, a late message and a user's click cannot both win.
"""

import logging
from contextlib import contextmanager
from datetime import timedelta

from celery import current_app
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from kombu.exceptions import OperationalError

from ..models import SAE, Job, JobPart
from . import leases, plan

log = logging.getLogger(__name__)

TASK = "features.compute"
SENT_AGAIN_AFTER = 10  # seconds a message has to arrive
UNREACHABLE = "The queue cannot be reached now; the job waits and starts as soon as a worker is back."

State = Job.State


class Unfinished(ValueError):
    """All features of this SAE are being computed already; `job` is the one doing it."""

    def __init__(self, job):
        super().__init__(f"Job {job.pk} computes all features of {job.sae} already ({job.state}).")
        self.job = job


# Asked for


def enqueue(job: Job, *, send: bool = True) -> Job:
    """Save a new job and send it, or leave it to the caller.

    Raises Unfinished: all features of an SAE are computed once at a time.
    """
    with transaction.atomic():
        _only_one(job)
        job.heartbeat, job.alone = timezone.now(), not send
        job.save()
        if send:
            transaction.on_commit(lambda: _send(job))
    return job


def retry(job: Job, user=None, *, send: bool = True) -> Job:
    """Put a job that failed or was cancelled in the queue again, or leave it to the caller. Any other is left as it
    is. Parts that are done stay so, if nothing they depend on has changed."""
    with transaction.atomic():
        _only_one(job)
        fresh = {"attempts": 0, "error": "", "cancel_requested": False, "finished": None, "started": None}
        changed = Job.objects.filter(pk=job.pk, state__in=Job.ENDED_EARLY).update(
            state=State.QUEUED,
            heartbeat=timezone.now(),
            requested_by=user or job.requested_by,
            alone=not send,
            **fresh,
            **plan.NOWHERE,
        )
        if changed:
            plan.give_back(job.parts)
            job.parts.update(attempts=0)
        if changed and send:
            transaction.on_commit(lambda: _send(job))
    job.refresh_from_db()
    return job


def interrupted(wanted: Job) -> Job | None:
    """A job that was asked for the same before and stopped with some of its parts done."""
    names = ("sae", "corpus", "encoder_b", "tokens", "seed", "device")
    same = Job.objects.filter(**{name: getattr(wanted, name) for name in names}).newest_first()
    done = JobPart.objects.filter(stage__gt=JobPart.Stage.PLAN, state=JobPart.State.DONE).values("job")
    stopped = same.filter(state__in=(*Job.ENDED_EARLY, State.QUEUED), pk__in=done)
    return next((job for job in stopped if job.features == wanted.features), None)


def _only_one(job):
    if job.features is not None:
        return
    SAE.objects.select_for_update().get(pk=job.sae_id)  # two requests at once: the second waits here
    running = Job.objects.unfinished().filter(sae=job.sae_id, features__isnull=True).exclude(pk=job.pk).first()
    if running:
        raise Unfinished(running)


def _send(job: Job) -> bool:
    """Put the job's number in the queue. False, and a sentence in `job.note`, where the queue is away."""
    if not send(TASK, job.pk):
        job.note = UNREACHABLE
        return False
    return True


def send_for(job: Job, count: int) -> None:
    """A message for each of so many parts that wait."""
    for _ in range(0 if job.alone else count):
        if not _send(job):
            return  # those that look after silent jobs send the others


def send(task: str, number: int) -> bool:
    """Put the number of a row in the queue. False where the queue is away."""
    try:
        with _broker() as broker:
            current_app.send_task(task, [number], connection=broker, retry=False)
    except (OperationalError, OSError):
        log.warning("%s %s: the queue at %s cannot be reached", task, number, settings.REDIS_URL, exc_info=True)
        return False
    return True


@contextmanager
def _broker():
    """A connection that fails in a few seconds; the pool's would try for ever while the broker is away."""
    quick = {"max_retries": 1, "interval_start": 0, "socket_connect_timeout": 2}
    with current_app.connection_for_write(transport_options=quick) as broker:
        yield broker


# Cancelled


def cancel(job: Job) -> Job:
    """A job nobody works on ends at once, another when its workers next tell their progress; an ended one stays so."""
    with transaction.atomic():
        locked = Job.objects.select_for_update().get(pk=job.pk)
        Job.objects.unfinished().filter(pk=job.pk).update(cancel_requested=True)
        leases.end_if_nobody_works(locked)
    job.refresh_from_db()
    return job


# Lost and found again


def pick_up_silent_jobs():
    """Give parts whose worker is gone to another, or end their job; send again what the queue has lost."""
    silent = timezone.now() - timedelta(seconds=settings.SAEVIZ_SILENT_AFTER)
    for job in Job.objects.silent_since(silent):
        _pick_up(job)
    for part in JobPart.objects.silent_since(silent).select_related("job"):
        _pick_up_part(part)
    _send_again_what_was_lost()


def _pick_up(job):
    """A job of which nobody has been heard at all."""
    as_seen = Job.objects.filter(pk=job.pk, state=State.RUNNING, started=job.started, heartbeat=job.heartbeat)
    now = timezone.now()
    with transaction.atomic():
        if not as_seen.select_for_update().first():
            return
        only_waits = job.parts.exists() and not job.parts.running().exists()  # for a message, behind others
        plan.give_back(job.parts)
        if job.cancel_requested:
            as_seen.update(state=State.CANCELLED, finished=now, rate=0)
            return
        if job.attempts >= settings.SAEVIZ_ATTEMPTS and not only_waits:
            as_seen.update(state=State.FAILED, finished=now, rate=0, error=_lost(job, job.attempts))
            return
        attempts = 0 if only_waits else job.attempts
        as_seen.update(state=State.QUEUED, heartbeat=now, alone=False, attempts=attempts, **plan.NOWHERE)
    log.warning("Job %s: nobody works on it, attempt %s is queued", job.pk, attempts + 1)
    _send(job)


def _pick_up_part(part):
    """A part that was lost while others of its job go on."""
    as_seen = JobPart.objects.running().filter(pk=part.pk, started=part.started, heartbeat=part.heartbeat)
    with transaction.atomic():
        job = Job.objects.select_for_update().get(pk=part.job_id)
        if job.state != State.RUNNING or not plan.give_back(as_seen):
            return
        if job.cancel_requested:
            leases.end_if_nobody_works(job)
            return
        if part.attempts >= settings.SAEVIZ_ATTEMPTS:
            leases.end(job, State.FAILED, _lost(job, part.attempts))
            return
    log.warning("Job %s: the worker of the part %s is gone", job.pk, part)
    send_for(job, 1)


def _lost(job, times):
    return (
        f"The worker went away {times} times while it ran, at last in the phase "
        f"{job.phase or 'loading'!r}: it was stopped, or ran out of memory. Retry; with fewer tokens, "
        "should memory be short."
    )


def _send_again_what_was_lost():
    """What waits without a message: Redis was away or emptied. A message too many does no harm."""
    waited = timezone.now() - timedelta(seconds=SENT_AGAIN_AFTER)
    queued = Job.objects.filter(state=State.QUEUED, alone=False).exclude(heartbeat__gt=waited).order_by("id")
    waiting = JobPart.objects.waiting().filter(job__state=State.RUNNING, job__alone=False, heartbeat__lte=waited)
    wanted = [*queued, *(part.job for part in waiting.select_related("job").order_by("job", "stage", "number"))]
    if wanted and (missing := len(wanted) - _messages_in_queue()) > 0:
        for job in wanted[-missing:]:
            _send(job)
        now = timezone.now()
        Job.objects.filter(pk__in=[job.pk for job in wanted], state=State.QUEUED).update(heartbeat=now)
        waiting.update(heartbeat=now)


def _messages_in_queue():
    try:
        with _broker() as broker:
            queue = current_app.amqp.queues[current_app.conf.task_default_queue]
            return queue(broker.default_channel).queue_declare(passive=True).message_count
    except (OperationalError, OSError):
        return float("inf")  # nothing can be sent now
    except broker.channel_errors:
        return 0  # the queue itself is gone


# Told


def to_dict(job: Job) -> dict:
    return {
        "id": job.pk,
        "sae": job.sae.slug,
        "state": job.state,
        "phase": job.phase,
        "done": job.done,
        "total": job.total,
        "share": job.share_done,
        "rate": job.rate,
        "seconds_left": job.seconds_left,
        "error": job.error,
        "note": note(job),
        "requested_by": job.requested_by.get_username() if job.requested_by else None,
        "requested_how": job.requested_how,
        "created": job.created,
        "started": job.started,
        "finished": job.finished,
        "parts": Job.objects.with_parts().values("parts_done", "parts_all").get(pk=job.pk),
        "features": None if job.features is None else len(job.features),
        "can_cancel": job.can_be_cancelled,
        "can_retry": job.can_be_retried,
    }


def note(job: Job) -> str:
    """What a waiting user should know beyond the state."""
    quiet = (timezone.now() - (job.heartbeat or job.created)).total_seconds()
    if getattr(job, "note", ""):
        return job.note
    if job.state == State.QUEUED and (timezone.now() - job.created).total_seconds() > SENT_AGAIN_AFTER:
        return "Waits for a worker."
    if job.state == State.RUNNING and job.cancel_requested:
        return "Stops as soon as the step it is in has ended."
    if job.state == State.RUNNING and quiet > settings.SAEVIZ_SILENT_AFTER:
        return f"Not heard from for {quiet:.0f} s; a worker picks it up again."
    return ""
