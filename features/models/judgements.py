"""Rows of judgements: what somebody keeps about a feature, and how it came to be.

They name weights and a feature's number, never a row of statistics: a recomputation replaces those, and the same
weights may be imported again under another name.
"""

from django.conf import settings
from django.db import models
from django.utils import timezone

from .sae import SAE


class JudgementQuerySet(models.QuerySet):
    def of(self, sae: SAE) -> "JudgementQuerySet":
        """Those of the weights that the SAE has now."""
        return self.filter(weights=sae.checkpoint_hash)

    def saying_something(self) -> "JudgementQuerySet":
        """Not those whose every field was emptied again."""
        return self.exclude(star=False, label="", note="", tags=[], grade="")


class Judgement(models.Model):
    """What one author says of one feature now; what was said before is in its changes."""

    class Kind(models.TextChoices):
        PERSON = "person"
        IMPORT = "import", "imported"
        MACHINE = "machine"

    class Grade(models.TextChoices):
        CLEAR = "clear"
        PARTLY = "partly"
        UNCLEAR = "unclear"

    weights = models.CharField(max_length=64, help_text="SHA-256 of the SAE's weights.")
    width = models.PositiveIntegerField(help_text="Features of that SAE.")
    index = models.PositiveIntegerField(help_text="Of the feature.")
    author = models.CharField(max_length=200)
    kind = models.CharField(max_length=8, choices=Kind, default=Kind.PERSON)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    star = models.BooleanField(default=False)
    label = models.CharField(max_length=200, blank=True)
    note = models.TextField(blank=True)
    tags = models.JSONField(default=list, blank=True)
    grade = models.CharField(max_length=8, choices=Grade, blank=True)
    machine = models.JSONField(
        default=dict, blank=True, help_text="Of a machine's label: model, detection score, its shuffled control."
    )
    rejected_by = models.CharField(max_length=200, blank=True, help_text="Who has rejected a machine's label.")
    taken_from = models.CharField(max_length=220, blank=True, help_text="Whose label was confirmed.")
    revision = models.PositiveIntegerField(default=0, help_text="Changes so far.")
    changed = models.DateTimeField(default=timezone.now)

    objects = JudgementQuerySet.as_manager()

    class Meta:
        ordering = ["weights", "index", "author"]
        constraints = [
            models.UniqueConstraint(fields=["weights", "index", "author", "kind"], name="judgement_once"),
        ]

    def __str__(self):
        return f"{self.author} on #{self.index}: {self.label or self.grade or '★' * self.star}"


class JudgementChange(models.Model):
    """What a judgement said from some moment on."""

    judgement = models.ForeignKey(Judgement, models.CASCADE, related_name="changes")
    revision = models.PositiveIntegerField()
    at = models.DateTimeField(default=timezone.now)
    by = models.CharField(max_length=200, help_text="Who changed it: its author, or whoever imported it.")
    said = models.JSONField(help_text="All its fields from then on.")

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["judgement", "revision"], name="judgement_change_once")]


class Rejection(models.Model):
    """That a feature is not what its counterpart in another SAE is said to be: nothing is inherited from that one."""

    weights = models.CharField(max_length=64, help_text="SHA-256 of the SAE's weights that it is about.")
    index = models.PositiveIntegerField(help_text="Of its feature.")
    source_weights = models.CharField(max_length=64, help_text="Of the other SAE.")
    source_index = models.PositiveIntegerField(help_text="Of the counterpart.")
    by = models.CharField(max_length=200, help_text="Who rejected it.")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["weights", "index"]
        constraints = [
            models.UniqueConstraint(
                fields=["weights", "index", "source_weights", "source_index"], name="rejection_once"
            ),
        ]
