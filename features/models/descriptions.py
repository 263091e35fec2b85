"""Rows of what is said of features without a language model or a person: the simple pattern that fits each best."""

from django.db import models

from .statistics import Feature


class FeatureDescription(models.Model):
    """How one feature is described, and how well; counts are of odd rows, on which the pattern was not chosen."""

    feature = models.OneToOneField(Feature, models.CASCADE, primary_key=True, related_name="described")
    line = models.CharField(max_length=400, help_text="What a reader sees and a search finds.")
    pattern = models.TextField(blank=True, help_text="As docs/asking.md has it; empty: too rare to look for one.")
    chosen_f1 = models.FloatField(null=True, help_text="On the even rows, on which it was chosen.")
    active = models.PositiveBigIntegerField(default=0, help_text="Tokens on which the feature is active.")
    held = models.PositiveBigIntegerField(default=0, help_text="Tokens on which the pattern holds.")
    hits = models.PositiveBigIntegerField(default=0, help_text="Both.")

    def __str__(self):
        return f"{self.feature}: {self.line}"
