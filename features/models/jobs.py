"""Rows of long work: computations, imports and verifications, who asked, how far they are, how they ended."""

from django.conf import settings
from django.db import models
from django.db.models import Count, F, OuterRef, Q, Subquery
from django.utils import timezone

from ..engine.results import LOSS_ROWS
from .corpus import Corpus
from .parts import JobPart
from .sae import SAE


class QueuedWorkQuerySet(models.QuerySet):
    def unfinished(self):
        return self.filter(state__in=self.model.UNFINISHED)

    def ended_early(self):
        return self.filter(state__in=self.model.ENDED_EARLY)

    def waiting(self):
        """What a worker can begin, the longest asked for first."""
        return self.filter(state=self.model.State.QUEUED, cancel_requested=False).order_by("pk")

    def silent_since(self, moment):
        """Running, but not heard from since: their worker is gone."""
        return self.filter(state=self.model.State.RUNNING).filter(Q(heartbeat__lt=moment) | Q(heartbeat=None))

    def newest_first(self):
        return self.order_by("-id")


class QueuedWork(models.Model):
    """What a worker was asked to do: who asked, how far it is, how it ended. Only jobs/lifecycle.py changes states."""

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        CANCELLED = "cancelled"

    UNFINISHED = (State.QUEUED, State.RUNNING)
    ENDED_EARLY = (State.FAILED, State.CANCELLED)
    CANCELLED_ERROR = ""  # what is said of one that was cancelled
    note = ""  # what whoever asked should know at once; not stored

    state = models.CharField(max_length=12, choices=State, default=State.QUEUED, db_index=True)
    phase = models.CharField(max_length=300, blank=True, help_text="What it is at; while a file comes, its name.")
    done = models.PositiveBigIntegerField(default=0, help_text="Of the phase.")
    total = models.PositiveBigIntegerField(default=0, help_text="Of the phase; 0: nothing is counted.")
    rate = models.FloatField(default=0, help_text="Units of the phase per second.")
    attempts = models.PositiveSmallIntegerField(default=0)
    cancel_requested = models.BooleanField(default=False)
    error = models.TextField(blank=True)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True)
    requested_how = models.CharField(max_length=60, blank=True, help_text="admin, command, first start ...")
    created = models.DateTimeField(default=timezone.now)
    started = models.DateTimeField(null=True)
    heartbeat = models.DateTimeField(null=True, help_text="When it was last heard of.")
    finished = models.DateTimeField(null=True)

    objects = QueuedWorkQuerySet.as_manager()

    class Meta:
        abstract = True
        ordering = ["-id"]

    @property
    def share_done(self):
        return min(1.0, self.done / self.total) if self.total else 0.0

    @property
    def seconds_left(self):
        """Of the running phase; None while unknown."""
        return (self.total - self.done) / self.rate if self.rate and self.state == self.State.RUNNING else None

    @property
    def can_be_cancelled(self):
        return self.state in self.UNFINISHED and not self.cancel_requested

    @property
    def can_be_retried(self):
        return self.state in self.ENDED_EARLY


class JobQuerySet(QueuedWorkQuerySet):
    def with_parts(self):
        """How many parts each has (none before it is planned), and how many are done."""
        return self.annotate(parts_all=Count("parts"), parts_done=Count("parts", filter=Q(parts__state="done")))

    def waiting(self):
        """Of which a part can be begun: first a quick look, then those without parts yet, then those with the fewest to
        do."""
        unfinished = JobPart.objects.unfinished().in_order().filter(job=OuterRef("pk")).order_by("stage")
        jobs = self.unfinished().filter(cancel_requested=False, alone=False)
        jobs = jobs.annotate(stage=Subquery(unfinished.values("stage")[:1]))
        waits, quick = Q(parts__state=JobPart.State.WAITING), Q(parts__stage=JobPart.Stage.QUICK)
        jobs = jobs.annotate(
            left=Count("parts", filter=~Q(parts__state="done")),
            waiting=Count("parts", filter=waits & (quick | Q(parts__stage=F("stage")))),
        )
        jobs = jobs.annotate(quick=Count("parts", filter=waits & quick))
        return jobs.filter(Q(stage=None) | Q(waiting__gt=0)).order_by("-quick", "left", "pk")


class Job(QueuedWork):
    """A requested computation of statistics, which is cut into parts."""

    sae = models.ForeignKey(SAE, models.CASCADE, related_name="jobs")
    corpus = models.ForeignKey(
        Corpus, models.PROTECT, null=True, blank=True, related_name="+", help_text="Empty: the SAE's."
    )
    encoder_b = models.ForeignKey(SAE, models.SET_NULL, null=True, blank=True, related_name="+")
    features = models.JSONField(null=True, blank=True, help_text="Chosen feature indices; empty: all of them.")
    tokens = models.PositiveBigIntegerField(help_text="Tokens to count.")
    device = models.CharField(max_length=20, default="auto")
    seed = models.PositiveIntegerField(default=0)
    loss_rows = models.PositiveIntegerField(default=LOSS_ROWS, help_text="Rows to measure losses on, at most.")
    phase_began = models.DateTimeField(null=True, help_text="Or was taken up again; the rate counts from here.")
    phase_from = models.PositiveBigIntegerField(default=0, help_text="What was done then.")
    inputs = models.CharField(max_length=64, blank=True, help_text="Hash of all that its finished parts depend on.")
    remarks = models.TextField(blank=True, help_text="What was damaged and made again on the way, a line each.")
    memory = models.PositiveBigIntegerField(default=0, help_text="Bytes that a worker held at most; 0: not known.")
    alone = models.BooleanField(default=False, help_text="Done by the process that asked; workers leave it alone.")
    result = models.ForeignKey(
        "Statistics", models.SET_NULL, null=True, blank=True, related_name="+", help_text="What its parts write into."
    )

    objects = JobQuerySet.as_manager()

    def __str__(self):
        return f"job {self.pk}: {self.sae.slug}, {self.get_state_display().lower()}"


class Import(QueuedWork):
    """A request to bring an SAE from disk to the site."""

    CANCELLED_ERROR = "Nothing was imported. What was downloaded is kept, and gone on with next time."

    path = models.CharField(max_length=1000)
    asked = models.JSONField(default=dict, help_text="Model, hook point, corpus, answers: see importing/request.py.")
    sae = models.ForeignKey(SAE, models.SET_NULL, null=True, blank=True, related_name="imports")

    def __str__(self):
        return f"import {self.pk}: {self.path}, {self.get_state_display().lower()}"


class Verification(QueuedWork):
    """A request to compute stored activations anew; what came of it is `SAE.verification`."""

    sae = models.ForeignKey(SAE, models.CASCADE, related_name="verifications")

    def __str__(self):
        return f"verification {self.pk}: {self.sae.slug}, {self.get_state_display().lower()}"
