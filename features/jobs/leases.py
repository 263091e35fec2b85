"""Who works on which part of a job, how is that heard of, and how does it end?

A part is taken while its job's row is locked, so two workers never have the same one. A claim is known by the moment
it began: whoever lost it has no row to write, and everything of a part is written in the transaction that looks.
"""

import logging
import os
import socket
import threading
import time
from contextlib import contextmanager

from django.db import DatabaseError, connection, transaction
from django.db.models import F
from django.utils import timezone

from ..engine.results import Cancelled, Progress
from ..models import Job, JobPart
from . import plan

log = logging.getLogger(__name__)

WRITE_EVERY = 1.0  # seconds between two writes of a part's progress
BEAT_EVERY = 5.0  # seconds between two signs of life, whatever the computation is at

State = Job.State


class LostClaim(Cancelled):
    """Another worker has this part, or its job has ended; nothing of ours may be written."""


class Claim:
    """The right of this process to work on a part of a job, and its way to tell how far it is."""

    def __init__(self, job: Job, part: JobPart, watcher=None, first=False):
        self.job, self.part, self.watcher = job, part, watcher
        self.first = first  # nobody worked on the job before
        self.phase, self.written = None, 0.0
        self.others = plan.of_others(part)
        self.mine = JobPart.objects.filter(pk=part.pk, state=JobPart.State.RUNNING, started=part.started)

    def progress(self, progress):
        """The callback of the engine: written about once a second; raises Cancelled when asked to stop."""
        if self.watcher:
            self.watcher(self._with_others(progress))
        now = time.monotonic()
        if progress.phase == self.phase and now - self.written < WRITE_EVERY:
            return
        self.phase, self.written = progress.phase, now
        self.check(done=progress.done, total=progress.total)
        self.others = plan.of_others(self.part)
        told = self._with_others(progress)
        plan.tell(self.job.pk, told.phase, told.done, told.total)

    def _with_others(self, progress):
        done, total = self.others
        return Progress(progress.phase, done + progress.done, total + progress.total)

    def check(self, **how_far):
        """Raise Cancelled when the job was asked to stop, has ended, or the part was given to another worker.

        Within a transaction nobody else gets the part before that ends.
        """
        wanted = self.mine.filter(job__state=State.RUNNING, job__cancel_requested=False)
        if not wanted.update(heartbeat=timezone.now(), **how_far):
            raise LostClaim(f"{self.part} is no longer wanted from here.")

    def finish(self, following=()) -> int:
        """The part is done, and `following` are planned; returns how many parts can be begun because of that."""
        with transaction.atomic():
            self._finish()
            JobPart.objects.bulk_create(following)
            return plan.opened_by(self.part)

    def finish_job(self):
        """The last part is done, and the job with it: in the transaction that shows what came of it."""
        self._finish()
        Job.objects.filter(pk=self.job.pk).update(
            state=State.DONE, error="", finished=timezone.now(), rate=0, done=F("total"), inputs="", result=None
        )

    def _finish(self):
        Job.objects.select_for_update().get(pk=self.job.pk)
        self.check()
        self.mine.update(**plan.whole(self.part))
        Job.objects.filter(pk=self.job.pk).update(attempts=1)  # they count while nothing gets done

    def give_up(self, error=None, cancel=False, undo=lambda: None):
        """The part waits for another time, and `undo` removes what was written of it. With an error the job has
        failed; with `cancel`, or where somebody asked, it is cancelled when nobody works on it any more."""
        with transaction.atomic():
            job = Job.objects.select_for_update().get(pk=self.job.pk)
            if not plan.give_back(self.mine):
                return
            undo()
            if error and job.state == State.RUNNING:
                end(job, State.FAILED, error)
            elif cancel or job.cancel_requested:
                Job.objects.filter(pk=job.pk).update(cancel_requested=True)
                end_if_nobody_works(job)

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
                if self.mine.update(heartbeat=timezone.now()):
                    Job.objects.filter(pk=self.job.pk, state=State.RUNNING).update(heartbeat=timezone.now())
            except DatabaseError:
                log.warning("Job %s: no sign of life could be written", self.job.pk, exc_info=True)
            finally:
                connection.close()


def claim(job_id, watcher=None) -> Claim | None:
    """Take the next part of a job. None when there is none: cancelled, ended, or others have what is left."""
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
        first = Job.objects.filter(pk=job_id, state=State.QUEUED).update(
            state=State.RUNNING, started=now, attempts=F("attempts") + 1, **plan.NOWHERE
        )
        Job.objects.filter(pk=job_id).update(heartbeat=now)
    job = Job.objects.select_related("sae__corpus", "corpus", "encoder_b").get(pk=job_id)
    return Claim(job, part, watcher, bool(first))


def _me() -> str:
    return f"{socket.gethostname()}, process {os.getpid()}"


def end_if_nobody_works(job: Job) -> bool:
    """A job that was asked to stop is cancelled as soon as no part of it is in work. Only while its row is locked."""
    if job.parts.running().exists():
        return False
    return end(job, State.CANCELLED)


def end(job: Job, state, error="") -> bool:
    """False when it has ended already."""
    ended = {"state": state, "error": error, "finished": timezone.now(), "rate": 0}
    return bool(Job.objects.unfinished().filter(pk=job.pk).update(**ended))
