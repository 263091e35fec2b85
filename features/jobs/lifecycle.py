"""How does a piece of work live? Every state of a computation, an import, a verification, and who changes it.

    from                to          who                                                      here
    -                   queued      a user, a command, an import                             enqueue
    queued              running     a worker, which takes it or its first part               begin
    queued              cancelled   a user                                                   cancel
    running             done        its worker, in the transaction of what came of it        finish
    running             failed      its worker, by an error                                  fail
    running             cancelled   its worker, once a user has asked it to stop             stop
    running             queued      its worker, between two steps: other work goes first       put_back
    running             queued      who looks after silent ones: its worker is gone          pick_up_silent
    running             failed      the same, when workers go away again and again           pick_up_silent
    running             cancelled   the same, when a user has asked it to stop               pick_up_silent
    failed, cancelled   queued      a user                                                   retry

Every change is one UPDATE that names the states it may come from, or is made while the row is locked: two workers, a
late one and a user's click cannot both win. What becomes of a computation's parts: leases.py.
"""

import logging
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from ..models import SAE, AutoInterp, Job, JobPart, QueuedWork
from . import doorbell

log = logging.getLogger(__name__)

UNREACHABLE = "The queue cannot be reached now; it waits and starts as soon as a worker is back."
REFUSES = "The queue refuses messages now: {}. It waits and starts as soon as they are taken again."

LONGEST_REMARKS = 4000  # characters; the latest stay

NOWHERE = {"phase": "", "done": 0, "total": 0, "rate": 0}

State = QueuedWork.State
COMES_FROM = {
    State.QUEUED: (State.RUNNING, State.DONE, State.FAILED, State.CANCELLED),
    State.RUNNING: (State.QUEUED,),
    State.DONE: (State.RUNNING,),
    State.FAILED: (State.RUNNING,),
    State.CANCELLED: (State.QUEUED, State.RUNNING),
}


ONE_AT_A_TIME = {  # of an SAE, and what is said where there is one
    Job: "Job {0.pk} computes all features of {0.sae} already ({0.state}).",
    AutoInterp: "Labels of {0.sae.name} are being made already (job {0.pk}). Wait, or cancel that.",
}


class Unfinished(ValueError):
    """What there is one of at a time is being done for this SAE already; `job` is the one at work."""

    def __init__(self, job):
        super().__init__(ONE_AT_A_TIME[type(job)].format(job))
        self.job = job


def _move(rows, state, **changes) -> bool:
    """The only change of state. False where no row is in a state that this one comes from."""
    return bool(rows.filter(state__in=COMES_FROM[state]).update(state=state, **changes))


def row(work: QueuedWork):
    """The work's row, to be changed."""
    return type(work).objects.filter(pk=work.pk)


def _parts(work):
    return work.parts.all() if isinstance(work, Job) else JobPart.objects.none()


def _is_attended(work) -> bool:
    """Whether somebody works on it. Only while its row is locked."""
    return _parts(work).running().exists() if isinstance(work, Job) else work.state == State.RUNNING


# Asked for


def enqueue(work: QueuedWork) -> QueuedWork:
    """Save new work and ring for it. Of a job that is `alone`, the caller does the work.

    Raises Unfinished: all features of an SAE are computed once at a time, and its labels made.
    """
    with transaction.atomic():
        _only_one(work)
        work.save()
        _ring_for(work)
    return work


def enqueue_all(works: list[QueuedWork]) -> None:
    """Save new work of one kind, of which any number may be done at once, and ring for all of it together."""
    with transaction.atomic():
        for work in works:
            work.save()
        if works:
            _ring_for(works[-1])


def retry(work: QueuedWork, user=None, *, alone=False) -> QueuedWork:
    """Queue again what failed or was cancelled; with `alone` the caller does the work. Any other is left as it is.

    Parts of a job that are done stay so, if nothing they depend on has changed.
    """
    anew = {"attempts": 0, "error": "", "cancel_requested": False, "finished": None, "started": None}
    with transaction.atomic():
        _only_one(work)
        if _move(row(work).ended_early(), State.QUEUED, **anew, **_nowhere(work)):
            row(work).update(requested_by=user or work.requested_by)
            _parts(work).running().give_back()
            _parts(work).update(attempts=0)
            _leave_to(work, alone)
            work.refresh_from_db()
            _ring_for(work)
    work.refresh_from_db()
    return work


def again(work: QueuedWork) -> bool:
    """Queue once more what is done, a checkpoint: what it found stays until it has found it anew."""
    with transaction.atomic():
        anew = {"attempts": 0, "cancel_requested": False, "finished": None, "started": None}
        moved = _move(row(work).filter(state=State.DONE), State.QUEUED, **anew, **_nowhere(work))
        if moved:
            _ring_for(work)
    return moved


def _nowhere(work) -> dict:
    """How far work is that nobody does."""
    return NOWHERE | ({"phase_began": None} if isinstance(work, Job) else {})


def _leave_to(work, alone: bool):
    """The process that asked, or the workers."""
    if isinstance(work, Job):
        row(work).update(alone=alone)


def _only_one(work):
    some_features = isinstance(work, Job) and work.features is not None
    if type(work) not in ONE_AT_A_TIME or some_features:
        return
    SAE.objects.select_for_update().get(pk=work.sae_id)  # two requests at once: the second waits here
    others = type(work).objects.unfinished().filter(sae=work.sae_id).exclude(pk=work.pk)
    # Labels that are being stopped are asked for no more; a computation's parts may still be written.
    rivals = {"features__isnull": True} if isinstance(work, Job) else {"cancel_requested": False}
    if running := others.filter(**rivals).first():
        raise Unfinished(running)


def _ring_for(work):
    def ring():
        work.note = "" if doorbell.ring() else _not_heard()

    if not getattr(work, "alone", False):
        transaction.on_commit(ring)


def _not_heard() -> str:
    why = doorbell.why_not()
    return REFUSES.format(why) if why else UNREACHABLE


# Begun and ended by workers


def begin(work: QueuedWork) -> bool:
    """A worker takes it, or its first part. False when it does not wait any more."""
    now = timezone.now()
    mine = row(work).filter(cancel_requested=False)
    return _move(mine, State.RUNNING, started=now, heartbeat=now, attempts=F("attempts") + 1, **_nowhere(work))


def finish(rows, **outcome) -> bool:
    """In the transaction of what came of it."""
    return _move(rows, State.DONE, error="", finished=timezone.now(), rate=0, done=F("total"), **outcome)


def fail(rows, error: str) -> bool:
    return _move(rows, State.FAILED, error=error, finished=timezone.now(), rate=0)


def put_back(rows) -> bool:
    """It waits, what is done of it is kept; it has not failed, so attempts count anew."""
    return _move(rows.filter(cancel_requested=False), State.QUEUED, attempts=0, started=None, **NOWHERE)


def end_if_unattended(work: QueuedWork) -> bool:
    """Work that was asked to stop is cancelled as soon as nobody does it. Only while its row is locked."""
    return not _is_attended(work) and stop(row(work))


def stop(rows) -> bool:
    return _move(rows, State.CANCELLED, error=rows.model.CANCELLED_ERROR, finished=timezone.now(), rate=0)


# Said on the way


def remark(work: Job, sentence: str) -> None:
    """Add a line to what was mended while it ran."""
    log.warning("%s: %s", work, sentence)
    known = Job.objects.values_list("remarks", flat=True).get(pk=work.pk)
    row(work).update(remarks=f"{known}\n{sentence}".strip()[-LONGEST_REMARKS:])


# Cancelled by a user


def cancel(work: QueuedWork) -> QueuedWork:
    """Work that nobody does ends at once, other when its workers next tell their progress; an ended one stays so."""
    with transaction.atomic():
        locked = row(work).select_for_update().get()
        row(work).unfinished().update(cancel_requested=True)
        end_if_unattended(locked)
    work.refresh_from_db()
    return work


# Lost and found again


def pick_up_silent(*kinds: type[QueuedWork]) -> None:
    """Queue what no worker is heard from, or end it where workers go away again and again."""
    silent = timezone.now() - timedelta(seconds=settings.SAEVIZ_SILENT_AFTER)
    for kind in kinds:
        for work in kind.objects.silent_since(silent):
            _pick_up(work)
    for part in JobPart.objects.silent_since(silent).select_related("job") if Job in kinds else ():
        _pick_up_part(part)


def _pick_up(work):
    """Of which nobody has been heard at all."""
    as_seen = row(work).filter(state=State.RUNNING, started=work.started, heartbeat=work.heartbeat)
    with transaction.atomic():
        if not as_seen.select_for_update().first():
            return
        only_waits = _parts(work).exists() and not _is_attended(work)  # behind other work
        _parts(work).running().give_back()
        if work.cancel_requested:
            stop(as_seen)
        elif work.attempts >= settings.SAEVIZ_ATTEMPTS and not only_waits:
            fail(as_seen, _lost(work, work.attempts))
        else:
            attempts = 0 if only_waits else work.attempts
            _move(as_seen, State.QUEUED, heartbeat=timezone.now(), attempts=attempts, **_nowhere(work))
            _leave_to(work, alone=False)
            work.alone = False
            log.warning("%s: nobody works on it, attempt %s is queued", work, attempts + 1)
            _ring_for(work)


def _pick_up_part(part):
    """A part that was lost while others of its job go on."""
    as_seen = JobPart.objects.filter(pk=part.pk, started=part.started, heartbeat=part.heartbeat)
    with transaction.atomic():
        job = Job.objects.select_for_update().get(pk=part.job_id)
        if job.state != State.RUNNING or not as_seen.give_back():
            return
        log.warning("Job %s: the worker of the part %s is gone", job.pk, part)
        if job.cancel_requested:
            end_if_unattended(job)
        elif part.attempts >= settings.SAEVIZ_ATTEMPTS:
            fail(row(job), _lost(job, part.attempts))
        else:
            _ring_for(job)


def _lost(work, times):
    return (
        f"The worker went away {times} times while it ran, at last in the phase "
        f"{work.phase or 'loading'!r}: it was stopped, or ran out of memory. Retry"
        + ("; with fewer tokens, should memory be short." if isinstance(work, Job) else ".")
    )
