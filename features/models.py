"""Rows and their named queries: what the site knows without touching a model or a weight."""

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Count, Q
from django.urls import reverse
from django.utils import timezone

DENSE_ABOVE = 0.1  # share of tokens above which a feature is called dense


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
    created = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = "corpora"
        ordering = ["slug"]

    def __str__(self):
        return self.name

    @property
    def tokens(self):
        """Tokens that can be counted: those that are not special; where nobody looked, the rows without their BOS."""
        return self.counted if self.counted is not None else self.rows * (self.row_length - self.bos)


class SAEQuerySet(models.QuerySet):
    def for_pages(self):
        """With the statistics that its pages show."""
        return self.select_related("statistics", "statistics__corpus", "statistics__encoder_b")


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
    checkpoint_hash = models.CharField(max_length=64)
    answers = models.JSONField(default=dict, blank=True, help_text="What the files do not say.")
    neurons = models.BooleanField(default=True, help_text="The hook point is a layer's neurons.")
    total_effect = models.BooleanField(
        default=True, help_text="Loss effects are total (last block), not direct (earlier block)."
    )
    dtype = models.CharField(max_length=20, blank=True, help_text="Of the stored weights; computed in float32.")
    prepend_bos = models.BooleanField(null=True, blank=True, help_text="Its training sequences started with BOS.")
    self_check = models.JSONField(null=True, blank=True, editable=False, help_text="See engine/selfcheck.py.")
    verification = models.JSONField(null=True, blank=True, editable=False, help_text="See verifying.py.")
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

    class Meta:
        verbose_name = "SAE"
        verbose_name_plural = "SAEs"
        ordering = ["created", "slug"]

    def __str__(self):
        return self.name

    def clean(self):
        if self.encoder_b and (why := self.not_comparable(self.encoder_b)):
            raise ValidationError({"encoder_b": why})

    def not_comparable(self, other: "SAE") -> str:
        """Why another SAE cannot be encoder B of this one, which reads the same activations; empty when it can."""
        if other.pk is not None and other.pk == self.pk:
            return f"{self} cannot be its own encoder B; choose another SAE."
        for name, what in (("hook_point", "hook point"), ("model_path", "model")):
            own, its = getattr(self, name), getattr(other, name)
            if own != its:
                return f"{other} reads the {what} {its}, {self} reads {own}; encoder B has to read the same."
        return ""

    def get_absolute_url(self):
        return reverse("features:sae", args=[self.slug])

    def feature_url(self, index):
        return reverse("features:feature", args=[self.slug, index])


class Statistics(models.Model):
    """One complete set of figures of an SAE on a corpus. An SAE points at the set its pages show."""

    sae = models.ForeignKey(SAE, models.CASCADE, related_name="all_statistics")
    corpus = models.ForeignKey(Corpus, models.PROTECT, related_name="+")
    tokens = models.PositiveBigIntegerField(default=0)
    seed = models.PositiveIntegerField(default=0)
    l0 = models.FloatField(null=True)
    explained_variance = models.FloatField(null=True)
    loss_clean = models.FloatField(null=True)
    loss_reconstructed = models.FloatField(null=True)
    loss_zero_ablated = models.FloatField(null=True)
    loss_recovered = models.FloatField(null=True)
    loss_tokens = models.PositiveIntegerField(default=0)
    dead = models.PositiveIntegerField(default=0)
    dense = models.PositiveIntegerField(default=0)
    checkpoint_hash = models.CharField(max_length=64, blank=True)
    encoder_b = models.ForeignKey(SAE, models.SET_NULL, null=True, related_name="+")
    encoder_b_hash = models.CharField(max_length=64, blank=True, help_text="Its checkpoint at that time.")
    versions = models.JSONField(default=dict)
    completed = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "statistics"
        ordering = ["-id"]

    def __str__(self):
        return f"{self.sae.slug} on {self.tokens:,} tokens of {self.corpus.slug}"


class FeatureQuerySet(models.QuerySet):
    def shown_of(self, sae):
        """The features whose statistics the SAE's pages show."""
        return self.filter(statistics_id=sae.statistics_id)

    def alive(self):
        return self.filter(count__gt=0)

    def dead(self):
        return self.filter(count=0)

    def sparse(self):
        return self.filter(density__lte=DENSE_ABOVE)

    def dense(self):
        return self.filter(density__gt=DENSE_ABOVE)

    def densest_first(self):
        return self.order_by("-density", "index")

    def worth_reading(self):
        """Alive, sparse, and not so rare that its top examples are all there is (20 of them)."""
        return self.sparse().filter(count__gte=20)

    def light(self):
        """Without what only a feature's own page draws."""
        return self.defer("payload", "quantiles")


class Feature(models.Model):
    """One feature's figures: what is sorted or filtered as columns, what one page draws as one payload."""

    statistics = models.ForeignKey(Statistics, models.CASCADE, related_name="features")
    index = models.PositiveIntegerField()
    tokens = models.PositiveBigIntegerField(help_text="Counted tokens: the population of its shares.")
    count = models.PositiveBigIntegerField(help_text="Counted tokens on which it is active.")
    density = models.FloatField()
    maximum = models.FloatField()
    mean = models.FloatField(help_text="Of the active values.")
    top_token = models.CharField(max_length=200, blank=True, help_text="Token of the top activation.")
    top_logit = models.CharField(max_length=200, blank=True, help_text="Token it boosts most.")
    quantiles = models.BinaryField(help_text="float32 values at the ranks of engine/quantiles.py.")
    payload = models.BinaryField(help_text="See payload.py.")

    objects = FeatureQuerySet.as_manager()

    class Meta:
        ordering = ["index"]
        constraints = [models.UniqueConstraint(fields=["statistics", "index"], name="feature_once")]
        indexes = [
            models.Index(fields=["statistics", "density"], name="feature_density"),
            models.Index(fields=["statistics", "maximum"], name="feature_maximum"),
            models.Index(fields=["statistics", "mean"], name="feature_mean"),
            models.Index(fields=["statistics", "count"], name="feature_count"),
        ]

    def __str__(self):
        return f"#{self.index}"

    @property
    def is_dead(self):
        return self.count == 0

    @property
    def is_dense(self):
        return self.density > DENSE_ABOVE


class JobQuerySet(models.QuerySet):
    def unfinished(self):
        return self.filter(state__in=Job.UNFINISHED)

    def silent_since(self, moment):
        """Running, but not heard from since: their worker is gone."""
        return self.filter(state=Job.State.RUNNING).filter(Q(heartbeat__lt=moment) | Q(heartbeat=None))

    def newest_first(self):
        return self.order_by("-id")

    def with_parts(self):
        """How many parts each has (none before it is planned), and how many are done."""
        return self.annotate(parts_all=Count("parts"), parts_done=Count("parts", filter=Q(parts__state="done")))


class Job(models.Model):
    """A requested computation of statistics: who asked, how far it is, how it ended."""

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        CANCELLED = "cancelled"

    UNFINISHED = (State.QUEUED, State.RUNNING)
    ENDED_EARLY = (State.FAILED, State.CANCELLED)

    sae = models.ForeignKey(SAE, models.CASCADE, related_name="jobs")
    corpus = models.ForeignKey(
        Corpus, models.PROTECT, null=True, blank=True, related_name="+", help_text="Empty: the SAE's."
    )
    encoder_b = models.ForeignKey(SAE, models.SET_NULL, null=True, blank=True, related_name="+")
    features = models.JSONField(null=True, blank=True, help_text="Chosen feature indices; empty: all of them.")
    tokens = models.PositiveBigIntegerField(help_text="Tokens to count.")
    device = models.CharField(max_length=20, default="auto")
    seed = models.PositiveIntegerField(default=0)
    state = models.CharField(max_length=12, choices=State, default=State.QUEUED, db_index=True)
    phase = models.CharField(max_length=40, blank=True)
    done = models.PositiveBigIntegerField(default=0)
    total = models.PositiveBigIntegerField(default=0)
    rate = models.FloatField(default=0, help_text="Units of the phase per second.")
    attempts = models.PositiveSmallIntegerField(default=0)
    cancel_requested = models.BooleanField(default=False)
    error = models.TextField(blank=True)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True)
    requested_how = models.CharField(max_length=60, blank=True, help_text="admin, command, first start ...")
    created = models.DateTimeField(default=timezone.now)
    started = models.DateTimeField(null=True)
    heartbeat = models.DateTimeField(null=True)
    finished = models.DateTimeField(null=True)
    phase_began = models.DateTimeField(null=True, help_text="Or was taken up again; the rate counts from here.")
    phase_from = models.PositiveBigIntegerField(default=0, help_text="What was done then.")
    inputs = models.CharField(max_length=64, blank=True, help_text="Hash of all that its finished parts depend on.")
    alone = models.BooleanField(default=False, help_text="Done by the process that asked; no message is sent for it.")
    result = models.ForeignKey(
        "Statistics", models.SET_NULL, null=True, blank=True, related_name="+", help_text="What its parts write into."
    )

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]

    def __str__(self):
        return f"job {self.pk}: {self.sae.slug}, {self.get_state_display().lower()}"

    @property
    def share_done(self):
        return min(1.0, self.done / self.total) if self.total else 0.0

    @property
    def seconds_left(self):
        """Of the running phase; None while unknown."""
        return (self.total - self.done) / self.rate if self.rate and self.state == self.State.RUNNING else None

    @property
    def can_be_cancelled(self):
        return self.state in self.UNFINISHED and not self.cancel_requested

    @property
    def can_be_retried(self):
        return self.state in self.ENDED_EARLY


class Import(models.Model):
    """A request to bring an SAE from disk to the site: who asked, how far it is, how it ended."""

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        CANCELLED = "cancelled"

    UNFINISHED = (State.QUEUED, State.RUNNING)

    path = models.CharField(max_length=1000)
    asked = models.JSONField(default=dict, help_text="Model, hook point, corpus, answers: see incoming.py.")
    state = models.CharField(max_length=12, choices=State, default=State.QUEUED)
    step = models.CharField(max_length=300, blank=True, help_text="What it is at; while a file comes, its name.")
    done = models.PositiveBigIntegerField(default=0, help_text="Bytes that have come.")
    total = models.PositiveBigIntegerField(default=0, help_text="Bytes of the file; 0: none is coming.")
    rate = models.FloatField(default=0, help_text="Bytes per second.")
    cancel_requested = models.BooleanField(default=False)
    error = models.TextField(blank=True)
    sae = models.ForeignKey(SAE, models.SET_NULL, null=True, blank=True, related_name="imports")
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True)
    created = models.DateTimeField(default=timezone.now)
    heard = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]

    def __str__(self):
        return f"import {self.pk}: {self.path}, {self.get_state_display().lower()}"

    @property
    def can_be_retried(self):
        return self.state in (self.State.FAILED, self.State.CANCELLED)

    @property
    def can_be_cancelled(self):
        return self.state in self.UNFINISHED and not self.cancel_requested


from .part_models import JobPart, ShardFile  # noqa: E402, F401  (rows of their own subject, found here by Django)
