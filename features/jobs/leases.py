"""Who works on what, how is that heard of, and how does it end?

A worker takes verifications first, then imports, then a part of the computation that has the fewest parts left (one
that is not cut into parts yet has none): between two parts of a long computation a short one goes first.

A part is taken while its job's row is locked, so two workers never have the same one. A lease is known by the moment
it began: whoever lost it has no row to write, and everything of a part is written in the transaction that looks.
"""

import logging
import os
import socket
import threading
import time
from contextlib import contextmanager

from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from ..engine.results import Cancelled, Progress
from ..models import Job, JobPart, QueuedWork
from . import lifecycle, plan

log = logging.getLogger(__name__)

WRITE_EVERY = 1.0  # seconds between two writes of a part's progress
BEAT_EVERY = 5.0  # seconds between two signs of life, whatever the work is at

State = QueuedWork.State


class LeaseLost(Cancelled):
    """Another worker has this, or it has ended, or is asked to stop; nothing of ours may be written."""


class Lease:
    """The right of this process to do a piece of work, and its way to tell how far it is."""

    opened = 0  # parts that can be begun because this is done
    more_urgent: tuple[type[QueuedWork], ...] = ()  # kinds of work that go first, where a worker chose among kinds

    def __init__(self, work: QueuedWork):
        self.work = work
        self.mine = lifecycle.row(work).filter(state=State.RUNNING, started=work.started)

    def __str__(self):
        return str(self.work)

    def wanted(self):
        """The row, while nobody asked the work to stop."""
        return self.mine.filter(cancel_requested=False)

    def check(self, **how_far):
        """Say how far it is. Raises LeaseLost when it was asked to stop, has ended or was given to another worker.

        Within a transaction nobody else gets it before that ends.
        """
        if not self.wanted().update(heartbeat=timezone.now(), **how_far):
            raise LeaseLost(f"{self} is no longer wanted from here.")

    def phase(self, phase: str, done=0, total=0, rate=0.0):
        """Say what it is at; of what is counted, how much is done, and how fast in units per second."""
        self.check(phase=phase[:300], done=done, total=total, rate=rate)

    def finish(self, **outcome):
        """In the transaction of what came of it."""
        self.check()
        lifecycle.finish(self.mine, phase="", **outcome)

    def gives_way(self) -> bool:
        """Between two steps: put back where work of a kind that goes first waits. Nothing of it may be done then."""
        return something_waits(self.more_urgent) and lifecycle.put_back(self.mine)

    def give_up(self, error: str = "", cancel=False):
        """With an error it has failed; without, it is cancelled: it ends early for no other reason."""
        if error:
            lifecycle.fail(self.mine, error)
        else:
            lifecycle.stop(self.mine)

    def beat(self):
        """A sign of life."""
        self.mine.update(heartbeat=timezone.now())

    @contextmanager
    def beating(self):
        """Signs of life from a thread of their own: loading a model or a long block tells no progress."""
        stop = threading.Event()
        thread = threading.Thread(target=self._keep_beating, args=(stop,), name=f"beat of {self.work}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _keep_beating(self, stop):
        while not stop.wait(BEAT_EVERY):
            try:
                self.beat()
            except DatabaseError as error:  # busy or away for a while: the next one says as much
                log.warning("%s: no sign of life could be written, the next in %g s: %s", self, BEAT_EVERY, error)
            finally:
                connection.close()


class PartLease(Lease):
    """The same of a part of a computation."""

    def __init__(self, job: Job, part: JobPart, watcher=None):
        self.work = self.job = job
        self.part, self.watcher = part, watcher
        self.undo = lambda: None  # removes what was written of a part that is given up
        self.last_phase, self.written = None, 0.0
        self.others = plan.of_others(part)
        self.mine = JobPart.objects.filter(pk=part.pk, state=JobPart.State.RUNNING, started=part.started)

    def __str__(self):
        return str(self.part)

    def wanted(self):
        return self.mine.filter(job__state=State.RUNNING, job__cancel_requested=False)

    def progress(self, progress: Progress):
        """The callback of the engine: written about once a second; raises Cancelled when asked to stop."""
        if self.watcher:
            self.watcher(self._with_others(progress))
        now = time.monotonic()
        if progress.phase == self.last_phase and now - self.written < WRITE_EVERY:
            return
        self.last_phase, self.written = progress.phase, now
        self.check(done=progress.done, total=progress.total)
        self.others = plan.of_others(self.part)
        # While shards are read beside a quick look, how far the job is means the shards.
        if self.part.stage != JobPart.Stage.QUICK or not self.job.parts.in_order().running().exists():
            together = self._with_others(progress)
            plan.write_progress(self.job.pk, together.phase, together.done, together.total)

    def _with_others(self, progress):
        done, total = self.others
        return Progress(progress.phase, done + progress.done, total + progress.total)

    def finish(self, following=()):
        """The part is done, and `following` are planned."""
        with transaction.atomic():
            self._finish()
            JobPart.objects.bulk_create(following)
            self.opened = plan.opened_by(self.part)

    def finish_job(self):
        """The last part is done, and the job with it: in the transaction that shows what came of it."""
        self._finish()
        lifecycle.finish(lifecycle.row(self.job), inputs="", result=None)

    def _finish(self):
        Job.objects.select_for_update().get(pk=self.job.pk)
        self.check()
        self.mine.update(**plan.whole(self.part))
        Job.objects.filter(pk=self.job.pk).update(attempts=1)  # they count while nothing gets done

    def give_up(self, error: str = "", cancel=False):
        """The part waits for another time. With an error the job has failed; with `cancel`, or where somebody asked, it
        is cancelled when nobody works on it any more."""
        with transaction.atomic():
            job = Job.objects.select_for_update().get(pk=self.job.pk)
            if not self.mine.give_back():
                return
            self.undo()
            if error:
                lifecycle.fail(lifecycle.row(job), error)
            elif cancel or job.cancel_requested:
                Job.objects.filter(pk=job.pk).update(cancel_requested=True)
                lifecycle.end_if_unattended(job)

    def beat(self):
        if self.mine.update(heartbeat=timezone.now()):
            Job.objects.filter(pk=self.job.pk, state=State.RUNNING).update(heartbeat=timezone.now())


def claim_next(kinds) -> Lease | None:
    """Take what waits: of the first of these kinds of work that has any. None when nothing can be begun."""
    kinds = tuple(kinds)
    for place, kind in enumerate(kinds):
        if lease := next(filter(None, map(claim, kind.objects.waiting())), None):
            lease.more_urgent = kinds[:place]
            return lease
    return None


def something_waits(kinds) -> bool:
    return any(kind.objects.waiting().exists() for kind in kinds)


def claim(work: QueuedWork, watcher=None) -> Lease | None:
    """Take it, or its next part. None when there is none: cancelled, ended, or others have what is left."""
    if isinstance(work, Job):
        return _claim_part(work.pk, watcher)
    return Lease(lifecycle.row(work).get()) if lifecycle.begin(work) else None


def _claim_part(job_id, watcher):
    with transaction.atomic():
        wanted = Job.objects.unfinished().filter(pk=job_id, cancel_requested=False)
        job = wanted.select_for_update().first()
        part = job and plan.first_waiting(job)
        if part is None:
            return None
        now = timezone.now()
        part.state, part.started, part.heartbeat, part.worker = JobPart.State.RUNNING, now, now, _me()
        part.attempts += 1
        part.save()
        if not lifecycle.begin(job):
            Job.objects.filter(pk=job_id).update(heartbeat=now)
    job = Job.objects.select_related("sae__corpus", "corpus", "encoder_b").get(pk=job_id)
    return PartLease(job, part, watcher)


def _me() -> str:
    return f"{socket.gethostname()}, process {os.getpid()}"
