"""Rows of SAEs, and what each is read with."""

from functools import cached_property
from pathlib import Path

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import OuterRef, Subquery
from django.urls import reverse
from django.utils import timezone

from ..engine.model.hook_points import layer_and_site
from ..engine.model.verdict import TRUSTED, Verdict
from ..engine.sae.reading.fingerprint import reading_hash
from .corpus import Corpus


class SAEQuerySet(models.QuerySet):
    def for_pages(self):
        """With the statistics that its pages show."""
        moments = self.model._meta.get_field("checkpoints").related_model.objects.exclude(run=None)
        own = moments.filter(sae=OuterRef("pk"), same_as=None).values("run__slug")[:1]
        related = self.select_related("statistics", "statistics__corpus", "statistics__encoder_b")
        return related.annotate(run_slug=Subquery(own))  # of the run that it is a checkpoint of

    def standing_alone(self):
        """Without those that a run has for its checkpoints, and computes by itself."""
        return self.exclude(corpus__in=Corpus.objects.exclude(rows_of=None))


class SAE(models.Model):
    """A sparse autoencoder, the model it belongs to, and the statistics that are shown of it."""

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=200)
    path = models.CharField(max_length=1000, help_text="Folder or file of the checkpoint.")
    model_path = models.CharField(max_length=1000, help_text="Folder of the language model and tokenizer.")
    model_name = models.CharField(max_length=200)
    hook_point = models.CharField(max_length=200)
    format = models.CharField(max_length=60, help_text="Layout the checkpoint was recognised as.")
    d_in = models.PositiveIntegerField()
    d_sae = models.PositiveIntegerField()
    checkpoint_hash = models.CharField(max_length=64, help_text="SHA-256 of its weights.")
    configs_hash = models.CharField(
        max_length=64, blank=True, help_text="Of the configs they are read with; empty: see storage/recognition.py."
    )
    answers = models.JSONField(default=dict, blank=True, help_text="What the files do not say.")
    neurons = models.BooleanField(default=True, help_text="The hook point is a layer's neurons.")
    total_effect = models.BooleanField(
        default=True, help_text="Loss effects are total (last block), not direct (earlier block)."
    )
    dtype = models.CharField(max_length=20, blank=True, help_text="Of the stored weights; computed in float32.")
    prepend_bos = models.BooleanField(null=True, blank=True, help_text="Its training sequences started with BOS.")
    provenance = models.JSONField(
        default=dict, blank=True, editable=False, help_text="What was read, see importing/provenance.py."
    )
    verdict = models.JSONField(
        null=True, blank=True, editable=False, help_text="What was found of its model, see storage/verdicts.py."
    )
    self_check = models.JSONField(null=True, blank=True, editable=False, help_text="See engine/self_check.py.")
    verification = models.JSONField(null=True, blank=True, editable=False, help_text="The last that was done.")
    corpus = models.ForeignKey(Corpus, models.PROTECT, related_name="saes")
    encoder_b = models.ForeignKey(
        "self",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name="encoder B",
        help_text="A second SAE at the same place of the same model: features are correlated with its features.",
    )
    statistics = models.ForeignKey(
        "Statistics", models.SET_NULL, null=True, blank=True, editable=False, related_name="+"
    )
    created = models.DateTimeField(default=timezone.now)

    objects = SAEQuerySet.as_manager()
    run_slug = None  # of the run that it is a checkpoint of, see SAEQuerySet.for_pages
    note = ""  # of a registration: why statistics are shown no longer

    class Meta:
        verbose_name = "SAE"
        verbose_name_plural = "SAEs"
        ordering = ["created", "slug"]

    def __str__(self):
        return self.name

    @property
    def reading_hash(self) -> str:
        """Of how its weights are read; empty until they are recognised."""
        return self.configs_hash and reading_hash(self.configs_hash, self.hook_point, self.answers)

    @property
    def subject_key(self) -> tuple[str, ...]:
        """Changes when something else would be loaded: other weights, another reading of them, another model."""
        reading = reading_hash(self.configs_hash, self.hook_point, self.answers)
        return self.checkpoint_hash, reading, self.path, self.model_path

    @cached_property
    def model_verdict(self) -> Verdict:
        """What was found of its model; nothing against it where nobody has looked."""
        try:
            return Verdict.from_dict(self.verdict["found"]) if self.verdict else TRUSTED
        except ValueError:
            return TRUSTED

    @property
    def why_no_losses(self) -> str:
        """Why it has no losses; empty where it has."""
        return self.model_verdict.head

    @property
    def why_no_effects(self) -> str:
        """Why it has no loss effects and no logit effects; empty where it has."""
        return self.model_verdict.why_no_effects(self.hook_point)

    @property
    def norm_follows(self) -> bool:
        """Whether what its features write goes through a norm of their block before it joins the residual stream."""
        return layer_and_site(self.hook_point)[1] in self.model_verdict.norms

    def clean(self):
        if self.encoder_b and (why := self.not_comparable(self.encoder_b)):
            raise ValidationError({"encoder_b": why})

    def not_comparable(self, other: "SAE") -> str:
        """Why another SAE cannot be encoder B of this one, which reads the same activations; empty when it can."""
        if other.pk is not None and other.pk == self.pk:
            return f"{self.slug} cannot be its own encoder B; choose another SAE."
        for name, what in (("hook_point", "hook point"), ("model_path", "model")):
            own, its = getattr(self, name), getattr(other, name)
            if own != its and not (name == "model_path" and Path(own).resolve() == Path(its).resolve()):
                return f"{other.slug} reads the {what} {its}, {self.slug} reads {own}; encoder B has to read the same."
        return ""

    def get_absolute_url(self):
        return reverse("features:sae", args=[self.slug])

    def feature_url(self, index):
        return reverse("features:feature", args=[self.slug, index])
