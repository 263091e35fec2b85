"""Rows of training runs: folders that are watched, the runs found there, their checkpoints and what is kept of each."""

import re
from pathlib import Path

from django.conf import settings
from django.db import models
from django.db.models import Count, F, OuterRef, Q, Subquery
from django.urls import reverse
from django.utils import timezone

from .claims import Claim
from .corpus import Corpus
from .jobs import Job, QueuedWork, QueuedWorkQuerySet
from .sae import SAE

OF_RUNS = "run"  # how the panels of checkpoints are asked for
STATES = re.compile(  # what a run's only or newest state is called
    r"(sae_weights|sae|ae|final|last|latest|newest|current|best|checkpoint|model|params|weights|autoencoder)",
    re.IGNORECASE,
)


class Watch(models.Model):
    """A folder whose checkpoints are read as they appear."""

    path = models.CharField(max_length=1000, unique=True)
    asked = models.JSONField(default=dict, blank=True, help_text="Model, hook point, corpus, answers for all in it.")
    every = models.PositiveIntegerField(
        default=0, help_text="Of each run the first, the last and every so manieth are read; 0: as many as fit."
    )
    panels_every = models.PositiveIntegerField(
        default=10, help_text="Panels are kept of the first, the last, starred ones and every so manieth."
    )
    restricted = models.BooleanField(default=False, help_text="Asked for in a browser: only below SAEVIZ_FOLDERS.")
    patient = models.BooleanField(default=False, help_text="Its checkpoints wait until all computations are done.")
    rules = models.JSONField(default=dict, blank=True, help_text="Other limits of warnings, see runs/warnings.py.")
    ended = models.BooleanField(default=False, help_text="Nobody looks any more; what was read stays.")
    problem = models.TextField(blank=True, editable=False, help_text="Why it cannot be read now.")
    note = models.TextField(blank=True, editable=False, help_text="What was left out.")
    looked = models.DateTimeField(null=True, editable=False)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, editable=False, related_name="+"
    )
    created = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name_plural = "watches"
        ordering = ["created"]

    def __str__(self):
        return self.path


class RunToken(models.Model):
    """The right of one training to upload its checkpoints; the token itself is kept nowhere."""

    name = models.CharField(max_length=60, unique=True)
    hash = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the token.")
    watch = models.ForeignKey(Watch, models.CASCADE, related_name="tokens")
    revoked = models.BooleanField(default=False)
    used = models.DateTimeField(null=True)
    created = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["created"]

    def __str__(self):
        return self.name


class RunQuerySet(models.QuerySet):
    def counted(self):
        """With how many checkpoints have figures (`read`) and how many are still to be read (`waiting`)."""
        measured = Q(checkpoints__same_as=None) & ~Q(checkpoints__measured=None)
        unfinished = Q(checkpoints__state__in=Checkpoint.UNFINISHED)
        counts = {"read": Count("checkpoints", filter=measured), "waiting": Count("checkpoints", filter=unfinished)}
        return self.annotate(**counts).order_by(*self.model._meta.ordering)  # counts drop the order

    def with_checkpoints(self):
        """Those with figures, counted."""
        return self.counted().filter(read__gt=0)


class Run(models.Model):
    """Checkpoints of one training: one model, hook point, shape and config but for the step."""

    watch = models.ForeignKey(Watch, models.CASCADE, related_name="runs")
    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=200)
    folder = models.CharField(max_length=1000, help_text="That its checkpoints lie below.")
    model_path = models.CharField(max_length=1000)
    model_name = models.CharField(max_length=200)
    hook_point = models.CharField(max_length=200)
    d_in = models.PositiveIntegerField()
    d_sae = models.PositiveIntegerField()
    config = models.JSONField(default=dict, help_text="Of its files, but for the step.")
    config_hash = models.CharField(max_length=64)
    corpus = models.ForeignKey(Corpus, models.PROTECT, related_name="+", help_text="That its rows are drawn from.")
    rows = models.ForeignKey(
        Corpus, models.PROTECT, related_name="rows_of", help_text="The same for all its checkpoints."
    )
    seed = models.PositiveIntegerField(default=0, help_text="Of the draw.")
    created = models.DateTimeField(default=timezone.now)

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ["created", "slug"]

    def __str__(self):
        return self.name

    def get_absolute_url(self):
        return reverse("features:run", args=[self.slug])

    def in_order(self):
        """Checkpoints with figures in the order of training."""
        return self.checkpoints.in_order()


class CheckpointQuerySet(QueuedWorkQuerySet):
    def waiting(self):
        """Starred ones first, then the newest; those of a patient watch when nothing else is to be computed."""
        waiting = super().waiting()
        if Job.objects.unfinished().exclude(requested_how=OF_RUNS).exists():  # panels wait for them in turn
            waiting = waiting.filter(watch__patient=False)
        return waiting.order_by("-starred", F("step").desc(nulls_first=True), "-appeared", "pk")

    def in_order(self):
        """Those with figures in the order of training: by step, the newest state behind them all."""
        measured = self.exclude(measured=None).filter(same_as=None)
        return measured.order_by(F("step").asc(nulls_last=True), "appeared", "pk")

    def newest_of_each(self, runs):
        """The last in order of each of these runs that has one."""
        of_run = self.filter(run=OuterRef("pk")).in_order().reverse().values("pk")[:1]
        return self.filter(pk__in=runs.annotate(newest=Subquery(of_run)).order_by().values("newest"))


class Checkpoint(QueuedWork):
    """One moment of a run. As work it is the reading of its files and its figures on the run's rows."""

    CANCELLED_ERROR = "Its figures were not computed. Ask for it again on its run's page."

    class Unit(models.TextChoices):
        TOKENS = "tokens"
        STEPS = "steps"

    watch = models.ForeignKey(Watch, models.CASCADE, related_name="checkpoints")
    run = models.ForeignKey(Run, models.SET_NULL, null=True, related_name="checkpoints")
    sae = models.ForeignKey(SAE, models.SET_NULL, null=True, related_name="checkpoints")
    path = models.CharField(max_length=1000)
    signature = models.CharField(max_length=64, help_text="Of the sizes and times of its files.")
    appeared = models.DateTimeField(help_text="When its files were written.")
    step = models.PositiveBigIntegerField(null=True, help_text="Empty: a state that is overwritten, or not named.")
    unit = models.CharField(max_length=8, choices=Unit, default=Unit.STEPS)
    same_as = models.ForeignKey("self", models.SET_NULL, null=True, related_name="+", help_text="With these weights.")
    starred = models.BooleanField(default=False, help_text="Its panels are kept.")
    notes = models.JSONField(default=list, help_text="Sentences of what was noticed.")
    figures = models.JSONField(default=dict, help_text="engine/training/measure.py, CheckpointFigures.")
    measured = models.DateTimeField(null=True, help_text="When its health was known.")

    objects = CheckpointQuerySet.as_manager()

    class Meta(QueuedWork.Meta):
        constraints = [models.UniqueConstraint(fields=["watch", "path", "signature"], name="checkpoint_once")]

    def __str__(self):
        return f"checkpoint {self.pk}: {self.path}, {self.get_state_display().lower()}"

    @property
    def label(self) -> str:
        """As pages call it."""
        if self.step is not None:
            return f"{self.step:,} {self.unit}"
        name = Path(self.path)
        is_state = STATES.fullmatch(name.name) or STATES.fullmatch(name.stem)
        return "newest state" if is_state else f"{name.name}, {self.appeared:%-d %b %Y, %H:%M:%S}"

    @property
    def first_look(self) -> str:
        """That its figures are of a share of the rows; "" where they are of all."""
        if not (every := (self.figures or {}).get("of_tokens")):
            return ""
        return f"first look, on {self.figures['tokens']:,} of {every:,} tokens"

    def get_absolute_url(self):
        return reverse("features:checkpoint", args=[self.run.slug, self.pk])


class CheckpointCounts(models.Model):
    """Activations of all features on the run's rows, apart from the rest: the whole run's are read together."""

    checkpoint = models.OneToOneField(Checkpoint, models.CASCADE, primary_key=True, related_name="counts")
    counts = models.BinaryField(help_text="[d_sae] uint32")


class CheckpointBlock(models.Model):
    """Records of some features at one checkpoint: see engine/training/record.py."""

    checkpoint = models.ForeignKey(Checkpoint, models.CASCADE, related_name="blocks")
    number = models.PositiveIntegerField(help_text="Features from number x 256 on.")
    records = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["checkpoint", "number"], name="checkpoint_block_once")]


class CheckpointTest(models.Model):
    """A claim about a run's feature, by its index, held against one checkpoint on the run's rows."""

    claim = models.ForeignKey(Claim, models.CASCADE, related_name="checkpoint_tests")
    checkpoint = models.ForeignKey(Checkpoint, models.CASCADE, related_name="claim_tests")
    holds = models.BooleanField(null=True, help_text="Unknown: it could not be tested.")
    figure = models.TextField(help_text="That says so, or why it could not be tested.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["claim", "checkpoint"], name="claim_at_checkpoint_once")]


class ComparisonQuerySet(QueuedWorkQuerySet):
    def of(self, sae: SAE, other: SAE):
        return self.filter(sae=sae, other=other)


class Comparison(QueuedWork):
    """A request to hold a whole SAE beside another that reads the same place, and what came of it."""

    CANCELLED_ERROR = "The two were not compared. Ask for it again on their page."

    sae = models.ForeignKey(SAE, models.CASCADE, related_name="comparisons")
    other = models.ForeignKey(SAE, models.CASCADE, related_name="+")
    pairs = models.BinaryField(null=True, help_text="engine/training/dictionary_match.py, PAIR of each feature.")
    figures = models.JSONField(default=dict, help_text="How many are matched, and chance.")
    about = models.JSONField(default=dict, help_text="Weights and statistics it was made of.")

    objects = ComparisonQuerySet.as_manager()

    def __str__(self):
        return f"comparison {self.pk}: {self.sae.slug} beside {self.other.slug}, {self.get_state_display().lower()}"
