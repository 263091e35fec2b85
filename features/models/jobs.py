"""Rows of long work: computations and imports, who asked, how far they are, how they ended."""

from django.conf import settings
from django.db import models
from django.db.models import Count, Q
from django.utils import timezone

from .corpus import Corpus
from .sae import SAE


class JobQuerySet(models.QuerySet):
    def unfinished(self):
        return self.filter(state__in=Job.UNFINISHED)

    def silent_since(self, moment):
        """Running, but not heard from since: their worker is gone."""
        return self.filter(state=Job.State.RUNNING).filter(Q(heartbeat__lt=moment) | Q(heartbeat=None))

    def newest_first(self):
        return self.order_by("-id")

    def with_parts(self):
        """How many parts each has (none before it is planned), and how many are done."""
        return self.annotate(parts_all=Count("parts"), parts_done=Count("parts", filter=Q(parts__state="done")))


class Job(models.Model):
    """A requested computation of statistics: who asked, how far it is, how it ended."""

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        CANCELLED = "cancelled"

    UNFINISHED = (State.QUEUED, State.RUNNING)
    ENDED_EARLY = (State.FAILED, State.CANCELLED)

    sae = models.ForeignKey(SAE, models.CASCADE, related_name="jobs")
    corpus = models.ForeignKey(
        Corpus, models.PROTECT, null=True, blank=True, related_name="+", help_text="Empty: the SAE's."
    )
    encoder_b = models.ForeignKey(SAE, models.SET_NULL, null=True, blank=True, related_name="+")
    features = models.JSONField(null=True, blank=True, help_text="Chosen feature indices; empty: all of them.")
    tokens = models.PositiveBigIntegerField(help_text="Tokens to count.")
    device = models.CharField(max_length=20, default="auto")
    seed = models.PositiveIntegerField(default=0)
    state = models.CharField(max_length=12, choices=State, default=State.QUEUED, db_index=True)
    phase = models.CharField(max_length=40, blank=True)
    done = models.PositiveBigIntegerField(default=0)
    total = models.PositiveBigIntegerField(default=0)
    rate = models.FloatField(default=0, help_text="Units of the phase per second.")
    attempts = models.PositiveSmallIntegerField(default=0)
    cancel_requested = models.BooleanField(default=False)
    error = models.TextField(blank=True)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True)
    requested_how = models.CharField(max_length=60, blank=True, help_text="admin, command, first start ...")
    created = models.DateTimeField(default=timezone.now)
    started = models.DateTimeField(null=True)
    heartbeat = models.DateTimeField(null=True)
    finished = models.DateTimeField(null=True)
    phase_began = models.DateTimeField(null=True, help_text="Or was taken up again; the rate counts from here.")
    phase_from = models.PositiveBigIntegerField(default=0, help_text="What was done then.")
    inputs = models.CharField(max_length=64, blank=True, help_text="Hash of all that its finished parts depend on.")
    alone = models.BooleanField(default=False, help_text="Done by the process that asked; no message is sent for it.")
    result = models.ForeignKey(
        "Statistics", models.SET_NULL, null=True, blank=True, related_name="+", help_text="What its parts write into."
    )

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]

    def __str__(self):
        return f"job {self.pk}: {self.sae.slug}, {self.get_state_display().lower()}"

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


class Import(models.Model):
    """A request to bring an SAE from disk to the site: who asked, how far it is, how it ended."""

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        CANCELLED = "cancelled"

    UNFINISHED = (State.QUEUED, State.RUNNING)

    path = models.CharField(max_length=1000)
    asked = models.JSONField(default=dict, help_text="Model, hook point, corpus, answers: see importing/plan.py.")
    state = models.CharField(max_length=12, choices=State, default=State.QUEUED)
    step = models.CharField(max_length=300, blank=True, help_text="What it is at; while a file comes, its name.")
    done = models.PositiveBigIntegerField(default=0, help_text="Bytes that have come.")
    total = models.PositiveBigIntegerField(default=0, help_text="Bytes of the file; 0: none is coming.")
    rate = models.FloatField(default=0, help_text="Bytes per second.")
    cancel_requested = models.BooleanField(default=False)
    error = models.TextField(blank=True)
    sae = models.ForeignKey(SAE, models.SET_NULL, null=True, blank=True, related_name="imports")
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True)
    created = models.DateTimeField(default=timezone.now)
    heard = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]

    def __str__(self):
        return f"import {self.pk}: {self.path}, {self.get_state_display().lower()}"

    @property
    def can_be_retried(self):
        return self.state in (self.State.FAILED, self.State.CANCELLED)

    @property
    def can_be_cancelled(self):
        return self.state in self.UNFINISHED and not self.cancel_requested
