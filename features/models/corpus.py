"""Rows of corpora."""

from django.db import models
from django.utils import timezone


class Corpus(models.Model):
    """Token rows of equal length that statistics are computed on and examples are read from."""

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=200)
    path = models.CharField(max_length=1000, help_text="The .npy file of token ids, rows x length.")
    rows = models.PositiveIntegerField()
    row_length = models.PositiveIntegerField()
    bos = models.BooleanField(default=True, help_text="Every row starts with BOS, which is not counted.")
    sha256 = models.CharField(max_length=64)
    licence = models.TextField(blank=True, help_text="Where the text comes from, and its licences.")
    tokenizer = models.CharField(max_length=64, blank=True, help_text="SHA-256 of the tokenizer.json it was made with.")
    counted = models.PositiveBigIntegerField(null=True, blank=True, help_text="Tokens that are not special ones.")
    skipped = models.PositiveSmallIntegerField(
        default=0, help_text="Positions of each row, after BOS, that are not counted."
    )
    eos = models.CharField(max_length=200, blank=True, help_text="The token that ends each document; empty: none.")
    documents = models.PositiveIntegerField(null=True, blank=True, help_text="Documents; empty: nobody kept them.")
    kinds = models.JSONField(null=True, blank=True, help_text="Tokens of each kind of document; empty: no kinds.")
    notes = models.JSONField(default=list, blank=True, help_text="What was assumed, skipped or mended in its text.")
    created = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = "corpora"
        ordering = ["slug"]

    def __str__(self):
        return self.name

    @property
    def tokens(self):
        """Tokens that can be counted: those that are not special; where nobody looked, the rows without their BOS."""
        return self.counted if self.counted is not None else self.rows * (self.row_length - self.first)

    @property
    def first(self) -> int:
        """The first position of a row that is counted."""
        return self.bos + self.skipped
