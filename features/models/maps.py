"""Rows of maps: where the decoders of an SAE lie when they are laid flat."""

from django.db import models

from .jobs import QueuedWork
from .sae import SAE


class DecoderMap(QueuedWork):
    """A request to lay the decoders of an SAE's weights flat, and the places that came of it."""

    CANCELLED_ERROR = "No map was made. Try it again here."

    sae = models.ForeignKey(SAE, models.CASCADE, related_name="maps")
    checkpoint_hash = models.CharField(max_length=64, blank=True, help_text="Of the weights that were laid flat.")
    seed = models.PositiveIntegerField(default=0)
    places = models.BinaryField(default=b"", help_text="float32 [d_sae, 2], NaN where a decoder is all zeros.")

    class Meta(QueuedWork.Meta):
        verbose_name_plural = "maps"

    def __str__(self):
        return f"map {self.pk}: {self.sae.slug}, {self.get_state_display().lower()}"
