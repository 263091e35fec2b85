"""Rows of blind grading: which features were drawn, and what each grader said of them."""

import json
import uuid

from django.db import models
from django.db.models.functions import Cast
from django.utils import timezone

from .corpus import Corpus
from .jobs import QueuedWork
from .judgements import Judgement
from .sae import SAE


class ArrayLength(models.Func):
    """How many elements a JSON array has."""

    function = "JSON_ARRAY_LENGTH"
    output_field = models.IntegerField()

    def as_postgresql(self, compiler, connection, **more):
        return self.as_sql(compiler, connection, function="jsonb_array_length", **more)


class GradingSampleQuerySet(models.QuerySet):
    def naming(self, weights: str):
        """Those that name such weights among what they are drawn from."""
        return self.alias(told=Cast("saes", models.TextField())).filter(told__contains=json.dumps(weights))

    def counted(self, grader: str | None):
        """With how many items they have (`size`), not the items, and how many of them this grader graded (`done`)."""
        graded = models.Q(answers__grader=grader) & ~models.Q(answers__grade="")
        counts = {"size": ArrayLength("items"), "done": models.Count("answers", filter=graded)}
        return self.annotate(**counts).order_by(*self.model._meta.ordering).defer("items")  # counts drop the order


class GradingSample(models.Model):
    """Features drawn to be graded without their numbers; its address is not to be guessed."""

    key = models.UUIDField(default=uuid.uuid4, unique=True)
    name = models.CharField(max_length=200)
    author = models.CharField(max_length=200, help_text="Who had it drawn.")
    created = models.DateTimeField(default=timezone.now)
    seed = models.PositiveIntegerField()
    saes = models.JSONField(help_text="Those it is drawn from: slug, name, weights, and alive features by stratum.")
    items = models.JSONField(help_text="In the order they are shown: see grading/sample.py, SampledItem.")

    objects = GradingSampleQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]

    def __str__(self):
        return self.name


class GradingAnswer(models.Model):
    """What one grader said of one of them."""

    sample = models.ForeignKey(GradingSample, models.CASCADE, related_name="answers")
    grader = models.CharField(max_length=200)
    number = models.PositiveIntegerField(help_text="Of the item, from 0 on.")
    grade = models.CharField(max_length=8, choices=Judgement.Grade, blank=True)
    picked = models.PositiveSmallIntegerField(null=True, help_text="The example taken for the stranger, from 0 on.")
    changed = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["sample", "grader", "number"]
        constraints = [models.UniqueConstraint(fields=["sample", "grader", "number"], name="grading_answer_once")]


class GradingDraw(QueuedWork):
    """A request to draw a sample with controls among it, which a worker has to compute first."""

    CANCELLED_ERROR = "No sample was drawn. Try it again here."

    sae = models.ForeignKey(SAE, models.CASCADE, related_name="grading_draws")
    saes = models.JSONField(help_text="Keys of all SAEs that it is drawn from, this one first.")
    size = models.PositiveIntegerField(help_text="Features of these SAEs together.")
    controls = models.JSONField(help_text="How many features of each kind of control.")
    seed = models.PositiveIntegerField()
    author = models.CharField(max_length=200, help_text="Who has it drawn.")
    sample = models.ForeignKey(GradingSample, models.CASCADE, null=True, related_name="+", help_text="What came of it.")

    class Meta(QueuedWork.Meta):
        verbose_name_plural = "drawings"

    def __str__(self):
        return f"drawing {self.pk}: {self.sae.slug}, {self.get_state_display().lower()}"


class GradingControl(models.Model):
    """What the grader of a control sees: that of no feature of an SAE, so no statistics hold it."""

    sample = models.ForeignKey(GradingSample, models.CASCADE, related_name="controls")
    number = models.PositiveIntegerField(help_text="Of the item, from 0 on.")
    sae = models.ForeignKey(SAE, models.CASCADE, related_name="+", help_text="Whose place and vocabulary it has.")
    corpus = models.ForeignKey(Corpus, models.CASCADE, related_name="+", help_text="That its examples stand in.")
    tokens = models.PositiveBigIntegerField(help_text="Counted ones that it was computed on.")
    count = models.PositiveBigIntegerField(help_text="Of these, those on which it is active.")
    maximum = models.FloatField()
    mean = models.FloatField()
    quantiles = models.BinaryField()
    payload = models.BinaryField(help_text="storage/payload.py")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["sample", "number"], name="grading_control_once")]
