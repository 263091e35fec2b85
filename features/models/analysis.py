"""Rows of what is worked out after statistics are shown: the work, and what its steps found of each feature."""

from django.db import models

from .jobs import QueuedWork
from .sae import SAE
from .statistics import Feature, Statistics


class Analysis(QueuedWork):
    """What follows from the kept activations of a set of statistics that is shown. See analysis/steps.py."""

    CANCELLED_ERROR = "What was worked out so far stays. Try it again here."

    sae = models.ForeignKey(SAE, models.CASCADE, related_name="analyses")
    statistics = models.ForeignKey(Statistics, models.CASCADE, related_name="analyses")
    versions = models.JSONField(default=dict, help_text="Of saeviz and of the steps that it was to do.")

    class Meta(QueuedWork.Meta):
        verbose_name_plural = "analyses"

    def __str__(self):
        return f"analysis {self.pk}: {self.sae.slug}, {self.get_state_display().lower()}"


class FeatureAnalysis(models.Model):
    """What one step found of a feature: what its page draws."""

    feature = models.ForeignKey(Feature, models.CASCADE, related_name="analyses")
    step = models.CharField(max_length=16)
    payload = models.BinaryField(help_text="JSON in zlib; see analysis/rows.py.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["feature", "step"], name="analysis_once")]

    def __str__(self):
        return f"{self.feature}, {self.step}"
