"""Rows of claims: what somebody says of a feature, and whether statistics bear it out."""

from django.conf import settings
from django.db import models
from django.utils import timezone

from .statistics import Statistics


class ClaimQuerySet(models.QuerySet):
    """Named queries of claims."""

    def about(self, checkpoint_hash: str, index: int | None = None) -> "ClaimQuerySet":
        """Those about the features of some weights, or about one of them, in the order of what they are about."""
        found = self.filter(checkpoint_hash=checkpoint_hash).select_related("author").order_by("index", "id")
        return found if index is None else found.filter(index=index)


class Claim(models.Model):
    """What is said of a feature of these weights, whatever statistics are shown: a computation replaces those."""

    checkpoint_hash = models.CharField(max_length=64, help_text="SHA-256 of the weights.")
    index = models.PositiveIntegerField(help_text="Of the feature.")
    says = models.JSONField(help_text="See engine/claims/kinds.py.")
    from_findings = models.BooleanField(default=False, help_text="It stands in findings.json.")
    stated = models.JSONField(null=True, help_text="Scores of a pattern when it was claimed, and on which corpus.")
    note = models.CharField(max_length=1000, blank=True)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True)
    author_name = models.CharField(max_length=200, blank=True, help_text="Stays when the user goes.")
    created = models.DateTimeField(default=timezone.now)

    objects = ClaimQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["checkpoint_hash", "index"], name="claim_about")]
        ordering = ["-created"]

    def __str__(self):
        return f"claim {self.pk} about #{self.index}"


class ClaimTest(models.Model):
    """A claim held against a set of statistics; it goes with these."""

    claim = models.ForeignKey(Claim, models.CASCADE, related_name="tests")
    statistics = models.ForeignKey(Statistics, models.CASCADE, related_name="claim_tests")
    holds = models.BooleanField(null=True, help_text="Unknown: it could not be tested.")
    figure = models.TextField(help_text="That says so, or why it could not be tested.")
    scores = models.JSONField(null=True, help_text="Of a pattern.")
    tested = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["claim", "statistics"], name="claim_tested_once")]

    def __str__(self):
        return f"{self.claim} on {self.statistics}"
