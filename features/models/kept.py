"""Rows of kept activations: where the active entries of a computation lie, or why they do not."""

from django.db import models

from .statistics import Statistics


class KeptActivations(models.Model):
    """What was kept of the activations that a set of statistics was computed from. See storage/kept_activations.py."""

    statistics = models.OneToOneField(Statistics, models.CASCADE, related_name="kept")
    folder = models.CharField(max_length=60, help_text="In SAEVIZ_KEPT; empty: nothing lies there.", blank=True)
    entries = models.PositiveBigIntegerField(default=0, help_text="Active entries, each kept by token and by feature.")
    bytes = models.PositiveBigIntegerField(default=0)
    manifest = models.CharField(max_length=64, blank=True, help_text="SHA-256 of its manifest; empty: not complete.")
    why_not = models.TextField(blank=True, help_text="A sentence, where none are kept.")
    machine = models.CharField(max_length=200, blank=True, help_text="That wrote them.")

    class Meta:
        verbose_name_plural = "kept activations"
        ordering = ["-statistics"]

    def __str__(self):
        return f"activations of {self.statistics}"

    @property
    def is_complete(self):
        return bool(self.manifest)
