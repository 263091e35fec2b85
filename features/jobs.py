"""How does a job live: asked for, claimed, heard from, cancelled, lost and found again, ended?

Every change of state is one UPDATE that names the state it expects, so two workers, a late message and a
user's click cannot both win. A claim is known by the moment it started: whoever lost it has no row to write.
"""

import logging
import threading
import time
from contextlib import contextmanager
from datetime import timedelta

from celery import current_app
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models import F
from django.utils import timezone
from kombu.exceptions import OperationalError

from .engine.results import Cancelled
from .models import SAE, Job

log = logging.getLogger(__name__)

TASK = "features.compute"
WRITE_EVERY = 1.0  # seconds between two writes of a job's progress
BEAT_EVERY = 5.0  # seconds between two signs of life, whatever the computation is at
SENT_AGAIN_AFTER = 10  # seconds a queued job's message has to arrive
UNREACHABLE = "The queue cannot be reached now; the job waits and starts as soon as a worker is back."

State = Job.State


class Unfinished(ValueError):
    """All features of this SAE are being computed already; `job` is the one doing it."""

    def __init__(self, job):
        super().__init__(f"Job {job.pk} computes all features of {job.sae} already ({job.state}).")
        self.job = job


# Asked for


def enqueue(job: Job, *, send: bool = True) -> Job:
    """Save a new job and send it. Raises Unfinished: all features of an SAE are computed once at a time."""
    with transaction.atomic():
        _only_one(job)
        job.heartbeat = timezone.now()
        job.save()
        if send:
            transaction.on_commit(lambda: _send(job))
    return job


def retry(job: Job, user=None) -> Job:
    """Put a job that failed or was cancelled in the queue again. Any other is left as it is."""
    with transaction.atomic():
        _only_one(job)
        fresh = {"attempts": 0, "error": "", "cancel_requested": False, "finished": None, "started": None}
        changed = Job.objects.filter(pk=job.pk, state__in=(State.FAILED, State.CANCELLED)).update(
            state=State.QUEUED,
            heartbeat=timezone.now(),
            requested_by=user or job.requested_by,
            **fresh,
            **NOWHERE,
        )
        if changed:
            transaction.on_commit(lambda: _send(job))
    job.refresh_from_db()
    return job


NOWHERE = {"phase": "", "done": 0, "total": 0, "rate": 0}


def _only_one(job):
    if job.features is not None:
        return
    SAE.objects.select_for_update().get(pk=job.sae_id)  # two requests at once: the second waits here
    running = (
        Job.objects.unfinished().filter(sae=job.sae_id, features__isnull=True).exclude(pk=job.pk).first()
    )
    if running:
        raise Unfinished(running)


def _send(job: Job) -> bool:
    """Put the job's number in the queue. False, and a sentence in `job.note`, where the queue is away."""
    if not send(TASK, job.pk):
        job.note = UNREACHABLE
        return False
    return True


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


# Claimed and heard from


class Claim:
    """The right of this process to work on a job, and its way to tell how far it is."""

    def __init__(self, job: Job, watcher=None):
        self.job, self.watcher = job, watcher
        self.phase, self.written = None, 0.0
        self.mine = Job.objects.filter(pk=job.pk, state=State.RUNNING, started=job.started)

    def progress(self, progress):
        """The callback of `collect`: written about once a second; raises Cancelled when asked to stop."""
        if self.watcher:
            self.watcher(progress)
        now = time.monotonic()
        if progress.phase != self.phase:
            self.phase, self.phase_began, self.began_with = progress.phase, now, progress.done
        elif now - self.written < WRITE_EVERY:
            return
        self.written = now
        elapsed = now - self.phase_began
        self._write(
            phase=progress.phase,
            done=progress.done,
            total=progress.total,
            rate=(progress.done - self.began_with) / elapsed if elapsed else 0,
        )

    def check(self):
        """Raise Cancelled when the job was asked to stop, or was given to another worker."""
        self._write()

    def _write(self, **how_far):
        if not self.mine.filter(cancel_requested=False).update(heartbeat=timezone.now(), **how_far):
            raise Cancelled(f"Job {self.job.pk} was cancelled.")

    def finish(self, state, error=""):
        """End the job as this, if it is still ours; done, in the transaction that switches the statistics."""
        ended = {"state": state, "error": error, "finished": timezone.now(), "rate": 0}
        if state == State.DONE:  # a job that was told to stop meanwhile is not done
            return bool(self.mine.filter(cancel_requested=False).update(**ended, done=F("total")))
        return bool(self.mine.update(**ended))

    @contextmanager
    def beating(self):
        """Signs of life from a thread of their own: loading a model or a long block tells no progress."""
        stop = threading.Event()
        thread = threading.Thread(target=self._beat, args=(stop,), name=f"job {self.job.pk}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _beat(self, stop):
        while not stop.wait(BEAT_EVERY):
            try:
                self.mine.update(heartbeat=timezone.now())
            except DatabaseError:
                log.warning("Job %s: no sign of life could be written", self.job.pk, exc_info=True)
            finally:
                connection.close()


def claim(job_id, watcher=None) -> Claim | None:
    """Take a queued job. None when it is not queued: cancelled, done, or a message that came twice."""
    now = timezone.now()
    taken = Job.objects.filter(pk=job_id, state=State.QUEUED).update(
        state=State.RUNNING, started=now, heartbeat=now, attempts=F("attempts") + 1, **NOWHERE
    )
    return Claim(Job.objects.select_related("sae__corpus", "corpus").get(pk=job_id), watcher) if taken else None


# Cancelled


def cancel(job: Job) -> Job:
    """A queued job ends at once, a running one when it next tells its progress; an ended one stays so."""
    ended = {"state": State.CANCELLED, "finished": timezone.now(), "cancel_requested": True}
    if not Job.objects.filter(pk=job.pk, state=State.QUEUED).update(**ended):
        Job.objects.filter(pk=job.pk, state=State.RUNNING).update(cancel_requested=True)
    job.refresh_from_db()
    return job


# Lost and found again


def pick_up_silent_jobs():
    """Give jobs whose worker is gone to another, or end them; send again what the queue has lost."""
    silent = timezone.now() - timedelta(seconds=settings.SAEVIZ_SILENT_AFTER)
    for job in Job.objects.silent_since(silent):
        _pick_up(job)
    _send_again_what_was_lost()


def _pick_up(job):
    as_seen = Job.objects.filter(pk=job.pk, state=State.RUNNING, started=job.started, heartbeat=job.heartbeat)
    now = timezone.now()
    if job.cancel_requested:
        as_seen.update(state=State.CANCELLED, finished=now, rate=0)
    elif job.attempts >= settings.SAEVIZ_ATTEMPTS:
        as_seen.update(state=State.FAILED, finished=now, rate=0, error=_lost(job))
    elif as_seen.update(state=State.QUEUED, heartbeat=now, **NOWHERE):
        log.warning("Job %s: its worker is gone, attempt %s is queued", job.pk, job.attempts + 1)
        _send(job)


def _lost(job):
    return (
        f"The worker went away {job.attempts} times while it ran, at last in the phase "
        f"{job.phase or 'loading'!r}: it was stopped, or ran out of memory. Retry; with fewer tokens, "
        "should memory be short."
    )


def _send_again_what_was_lost():
    """Queued jobs without a message: Redis was away or emptied. A message too many does no harm."""
    waited = timezone.now() - timedelta(seconds=SENT_AGAIN_AFTER)
    waiting = list(Job.objects.filter(state=State.QUEUED).exclude(heartbeat__gt=waited).order_by("id"))
    if waiting and _messages_in_queue() < len(waiting):
        for job in waiting:
            _send(job)
        Job.objects.filter(pk__in=[j.pk for j in waiting], state=State.QUEUED).update(
            heartbeat=timezone.now()
        )


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
