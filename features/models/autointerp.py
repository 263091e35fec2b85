"""Rows of labels by a language model: what was asked for, what each answer said, and what was spent on them."""

from django.db import models

from .jobs import QueuedWork
from .sae import SAE


class AutoInterp(QueuedWork):
    """A request to have features of an SAE labelled by a language model, and the labels scored by detection."""

    CANCELLED_ERROR = "What the language model has answered so far is kept. Try again goes on from there."

    sae = models.ForeignKey(SAE, models.CASCADE, related_name="autointerps")
    checkpoint_hash = models.CharField(max_length=64, help_text="Of the weights that the labels are about.")
    features = models.JSONField(help_text="Feature indices, in the order in which they are labelled.")
    companion = models.PositiveIntegerField(
        null=True, blank=True, help_text="Labelled for the control alone, where one feature is asked for."
    )
    address = models.CharField(max_length=500, help_text="Of the language model, up to /chat/completions.")
    model = models.CharField(max_length=200, help_text="Its name there, which is the author of the labels.")
    key_variable = models.CharField(max_length=100, blank=True, help_text="Environment variable with the key.")
    seed = models.PositiveIntegerField(default=0)
    most_calls = models.PositiveIntegerField(help_text="Requests that may be sent.")
    most_tokens = models.PositiveBigIntegerField(help_text="Tokens that may be spent, in and out.")
    most_cost = models.FloatField(null=True, blank=True, help_text="In the currency of the prices.")
    price_in = models.FloatField(null=True, blank=True, help_text="Of a million tokens sent.")
    price_out = models.FloatField(null=True, blank=True, help_text="Of a million tokens answered.")
    calls = models.PositiveIntegerField(default=0, help_text="Requests sent; counted before they are.")
    failed_calls = models.PositiveIntegerField(default=0, help_text="Of these, without an answer of use.")
    tokens_in = models.PositiveBigIntegerField(default=0)
    tokens_out = models.PositiveBigIntegerField(default=0)
    counted_here = models.BooleanField(default=False, help_text="Some tokens were estimated: nobody said how many.")
    outcome = models.JSONField(default=dict, blank=True, help_text="Scores of all features together.")

    class Meta(QueuedWork.Meta):
        verbose_name = verbose_name_plural = "autointerp"

    def __str__(self):
        return f"autointerp {self.pk}: {self.sae.slug}, {self.get_state_display().lower()}"

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_out

    @property
    def cost(self) -> float | None:
        """What was spent, in the currency of the prices; None without prices."""
        if self.price_in is None or self.price_out is None:
            return None
        return (self.tokens_in * self.price_in + self.tokens_out * self.price_out) / 1e6


class AutoInterpFeature(models.Model):
    """One of its features: the examples, the answers to each question about them, and what they come to."""

    work = models.ForeignKey(AutoInterp, models.CASCADE, related_name="items")
    index = models.PositiveIntegerField()
    examples = models.JSONField(help_text="See autointerp/examples.py, Drawn.")
    label = models.CharField(max_length=200, blank=True)
    control_of = models.PositiveIntegerField(null=True, help_text="The feature whose label is its shuffled control.")
    control_label = models.CharField(max_length=200, blank=True)
    answers = models.JSONField(default=dict, help_text="Question -> list of 0 and 1; null: it failed. For its label.")
    control_answers = models.JSONField(default=dict, help_text="The same for the control's label.")
    label_failed = models.CharField(max_length=300, blank=True, help_text="Why there is no label.")
    figures = models.JSONField(default=dict, help_text="Score and control: see autointerp/scores.py.")

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["work", "index"], name="autointerp_feature_once")]

    def __str__(self):
        return f"{self.work} #{self.index}: {self.label}"
