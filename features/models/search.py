"""Rows of what features are looked up by, beside the columns of their own rows."""

import numpy as np
from django.db import models

from .statistics import Feature


class FeatureSearch(models.Model):
    """Some bytes of each feature that a search reads of all of them."""

    feature = models.OneToOneField(Feature, models.CASCADE, primary_key=True, related_name="search")
    boosted = models.BinaryField(help_text="int32 ids of the tokens it boosts most, the most first.")
    suppressed = models.BinaryField(help_text="The same of those it suppresses most.")
    twins = models.BinaryField(default=b"", help_text="int32 indices of features nearly like it.")

    def __str__(self):
        return str(self.feature)

    @staticmethod
    def ids(packed: bytes) -> np.ndarray:
        """[n] of one of its fields."""
        return np.frombuffer(packed, np.int32)
