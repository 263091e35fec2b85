"""Rows of blind grading: which features were drawn, and what each grader said of them."""

import uuid

from django.db import models
from django.utils import timezone

from .judgements import Judgement


class GradingSample(models.Model):
    """Features drawn to be graded without their numbers; its address is not to be guessed."""

    key = models.UUIDField(default=uuid.uuid4, unique=True)
    name = models.CharField(max_length=200)
    author = models.CharField(max_length=200, help_text="Who had it drawn.")
    created = models.DateTimeField(default=timezone.now)
    seed = models.PositiveIntegerField()
    saes = models.JSONField(help_text="Those it is drawn from: slug, name, weights, and alive features by stratum.")
    items = models.JSONField(help_text="In the order they are shown: see grading/sample.py, Item.")

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
