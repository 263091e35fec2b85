"""Rows of statistics: the figures of an SAE on a corpus, and those of each feature."""

from enum import IntFlag

from django.db import models
from django.db.models import F
from django.db.models.functions import Coalesce

from ..engine.descriptions.family import LEAST_F1
from ..engine.results import DENSE_ABOVE, FEW, RARE_BELOW, is_told
from .corpus import Corpus
from .sae import SAE


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
    loss_rows = models.PositiveIntegerField(default=0, help_text="That losses were measured on; 0: not known.")
    loss_recovered_margin = models.FloatField(null=True, help_text="Half of its 95 % interval.")
    loss_cost_margin = models.FloatField(null=True, help_text="The same of the cost of reconstruction, in nats.")
    dead = models.PositiveIntegerField(default=0)
    dense = models.PositiveIntegerField(default=0)
    checkpoint_hash = models.CharField(max_length=64, blank=True, help_text="Of the SAE's weights at that time.")
    reading_hash = models.CharField(max_length=64, blank=True, help_text="Of how they were read.")
    encoder_b = models.ForeignKey(SAE, models.SET_NULL, null=True, related_name="+")
    encoder_b_hash = models.CharField(max_length=64, blank=True, help_text="Of its weights at that time.")
    encoder_b_reading_hash = models.CharField(max_length=64, blank=True, help_text="Of how they were read.")
    health = models.JSONField(default=dict, help_text="engine/results.py, Health; empty where it was not computed.")
    versions = models.JSONField(default=dict)
    analysed = models.JSONField(default=dict, help_text="What was worked out after it was shown: step -> version.")
    analysis = models.JSONField(default=dict, help_text="What those steps say of the SAE as a whole, by step.")
    completed = models.DateTimeField(null=True)
    grouped = models.BooleanField(default=False, help_text="Its features' twins are numbered: see storage/twins.py.")
    quick = models.BooleanField(default=False, help_text="Of the first tokens alone, shown until all are read.")

    class Meta:
        verbose_name_plural = "statistics"
        ordering = ["-id"]

    def __str__(self):
        return f"{self.sae.slug} on {self.tokens:,} tokens of {self.corpus.slug}"

    @property
    def loss_cost(self) -> float | None:
        """Of reconstruction: the loss with it less the loss as it is, on the same tokens, in nats."""
        losses = self.loss_reconstructed, self.loss_clean
        return None if None in losses else self.loss_reconstructed - self.loss_clean

    def is_of(self, sae: SAE) -> bool:
        """Whether these are figures of the weights that the SAE has now, read as they are now."""
        return (self.checkpoint_hash, self.reading_hash) == (sae.checkpoint_hash, sae.reading_hash)

    def correlated_with(self, encoder_b: SAE | None) -> bool:
        """Whether features were correlated with those of these very weights, read in this way; or with none."""
        now = (encoder_b.checkpoint_hash, encoder_b.reading_hash) if encoder_b else ("", "")
        return (self.encoder_b_hash, self.encoder_b_reading_hash) == now


class FeatureFlag(IntFlag):
    """What is said of a feature with yes or no, a bit each of `Feature.flags`."""

    SWARM = 1  # one of many whose strongest positions are the same
    COMMON_DIRECTION = 2  # its encoder lies on the direction that many encoders share
    NO_SIMPLE_PATTERN = 4  # none describes it well enough
    TOO_RARE_TO_DESCRIBE = 8  # active on too few tokens to look for one
    ONE_TOKEN = 16  # nine in ten of its activations are on one token
    ONE_POSITION = 32  # the same at one position of the row
    BOS_ONLY = 64  # active on BOS, which is not counted, and on no counted token


class FeatureQuerySet(models.QuerySet):
    """Named queries of features."""

    def shown_of(self, sae: SAE) -> "FeatureQuerySet":
        """The features whose statistics the SAE's pages show."""
        return self.filter(statistics_id=sae.statistics_id)

    def alive(self) -> "FeatureQuerySet":
        """Active on some counted token."""
        return self.filter(count__gt=0)

    def dead(self) -> "FeatureQuerySet":
        """Active on none."""
        return self.filter(count=0)

    def sparse(self) -> "FeatureQuerySet":
        """Not dense; dead ones among them."""
        return self.filter(density__lte=DENSE_ABOVE)

    def dense(self) -> "FeatureQuerySet":
        """Active on so many tokens that they are no sparse features."""
        return self.filter(density__gt=DENSE_ABOVE)

    def ultra_rare(self) -> "FeatureQuerySet":
        """Alive, and active on so few tokens that swarms of them share the same ones; none where too few tokens were
        counted to tell."""
        return self.alive().filter(density__lt=RARE_BELOW, tokens__gte=FEW / RARE_BELOW)

    def twin(self) -> "FeatureQuerySet":
        """Nearly the same as another one: see storage/twins.py."""
        return self.exclude(twin_of=None)

    def one_of_each(self) -> "FeatureQuerySet":
        """Of features nearly the same, the first alone."""
        return self.filter(models.Q(twin_of=None) | models.Q(twin_of=models.F("index")))

    def swarm(self) -> "FeatureQuerySet":
        """Strongest where many others are, too."""
        return self.flagged(FeatureFlag.SWARM)

    def on_common_direction(self) -> "FeatureQuerySet":
        """With an encoder on the direction that many encoders share."""
        return self.flagged(FeatureFlag.COMMON_DIRECTION)

    def described_well(self) -> "FeatureQuerySet":
        """By a simple pattern."""
        return self.filter(description_f1__gte=LEAST_F1)

    def without_pattern(self) -> "FeatureQuerySet":
        """None describes it well enough."""
        return self.flagged(FeatureFlag.NO_SIMPLE_PATTERN)

    def too_rare_to_describe(self) -> "FeatureQuerySet":
        """Active on too few tokens to look for one."""
        return self.flagged(FeatureFlag.TOO_RARE_TO_DESCRIBE)

    def on_one_token(self) -> "FeatureQuerySet":
        """Nine in ten of their activations are on one token."""
        return self.flagged(FeatureFlag.ONE_TOKEN)

    def at_one_position(self) -> "FeatureQuerySet":
        """The same at one position of the row."""
        return self.flagged(FeatureFlag.ONE_POSITION)

    def on_bos_only(self) -> "FeatureQuerySet":
        """Active on BOS, and on no counted token."""
        return self.flagged(FeatureFlag.BOS_ONLY)

    def in_no_swarm(self) -> "FeatureQuerySet":
        """Neither of the two, or not looked at."""
        bits = FeatureFlag.SWARM | FeatureFlag.COMMON_DIRECTION
        return self.alias(along=F("flags").bitand(int(bits))).filter(models.Q(along=0) | models.Q(flags=None))

    def flagged(self, flag: FeatureFlag) -> "FeatureQuerySet":
        """Of which it is said."""
        return self.annotate(**{f"flag_{flag}": F("flags").bitand(int(flag))}).filter(**{f"flag_{flag}__gt": 0})

    def worth_reading(self) -> "FeatureQuerySet":
        """Alive, sparse, and not so rare that its top examples are all there is (20 of them)."""
        return self.sparse().filter(count__gte=20)

    def narrow(self) -> "FeatureQuerySet":
        """Without what only a feature's own page draws."""
        return self.defer("old_payload", "old_quantiles")

    def with_payloads(self) -> "FeatureQuerySet":
        """With it, in the same query."""
        return self.select_related("stored", "described")

    def stored_values(self, name: str, *columns: str) -> "FeatureQuerySet":
        """Tuples of some columns and, last, `name`: the "payload" or the "quantiles", wherever they lie."""
        lies = Coalesce(f"stored__{name}", f"old_{name}")
        return self.annotate(wherever_it_lies=lies).values_list(*columns, "wherever_it_lies")


class Feature(models.Model):
    """One feature's figures that are sorted or filtered by, at most 256 bytes of them; the others are `stored`."""

    statistics = models.ForeignKey(Statistics, models.CASCADE, related_name="features")
    index = models.PositiveIntegerField()
    tokens = models.PositiveBigIntegerField(help_text="Counted tokens: the population of its shares.")
    count = models.PositiveBigIntegerField(help_text="Counted tokens on which it is active.")
    density = models.FloatField()
    maximum = models.FloatField()
    mean = models.FloatField(help_text="Of the active values.")
    top_token = models.CharField(max_length=200, blank=True, help_text="Token of the top activation.")
    top_logit = models.CharField(max_length=200, blank=True, help_text="Token it boosts most.")
    nearest_cosine = models.FloatField(null=True, help_text="Of its decoder row with the most similar one.")
    strongest_correlation = models.FloatField(null=True, help_text="Highest Pearson correlation with another feature.")
    twin_of = models.PositiveIntegerField(null=True, help_text="First of the features nearly like it; empty: none.")
    twins = models.PositiveIntegerField(default=0, help_text="How many these are, itself among them.")
    # None where it was not worked out, or is not said of so few activations
    importance = models.FloatField(null=True, help_text="Mean loss effect x density: nats per million tokens.")
    importance_margin = models.FloatField(null=True, help_text="Half of its 95 % interval.")
    token_entropy = models.FloatField(null=True, help_text="Of the tokens it fires on, in bits.")
    skew = models.FloatField(null=True, help_text="Skewness of the active values.")
    description_f1 = models.FloatField(null=True, help_text="Of its best simple pattern, on odd rows.")
    encoder_norm = models.FloatField(null=True, help_text="Length of its column of W_enc.")
    encoder_cosine = models.FloatField(null=True, help_text="Of its column of W_enc with its row of W_dec.")
    flags = models.PositiveSmallIntegerField(null=True, help_text="Sum of FeatureFlag; empty: nothing was looked at.")
    # Where earlier versions kept them, until storage/catch_up/move_payloads.py has moved them; empty in newer rows.
    old_quantiles = models.BinaryField(db_column="quantiles", default=b"")
    old_payload = models.BinaryField(db_column="payload", default=b"")

    objects = FeatureQuerySet.as_manager()

    class Meta:
        ordering = ["index"]
        constraints = [models.UniqueConstraint(fields=["statistics", "index"], name="feature_once")]
        indexes = [
            models.Index(fields=["statistics", "density"], name="feature_density"),
            models.Index(fields=["statistics", "maximum"], name="feature_maximum"),
            models.Index(fields=["statistics", "mean"], name="feature_mean"),
            models.Index(fields=["statistics", "count"], name="feature_count"),
            models.Index(fields=["statistics", "nearest_cosine"], name="feature_nearest"),
            models.Index(fields=["statistics", "strongest_correlation"], name="feature_correlation"),
            models.Index(fields=["statistics", "twin_of"], name="feature_twin"),
            models.Index(fields=["statistics", "importance"], name="feature_importance"),
            models.Index(fields=["statistics", "description_f1"], name="feature_description"),
        ]

    def __str__(self):
        return f"#{self.index}"

    @property
    def is_dead(self):
        return self.count == 0

    @property
    def is_dense(self):
        return self.density > DENSE_ABOVE

    @property
    def is_ultra_rare(self):
        return 0 < self.density < RARE_BELOW and is_told(RARE_BELOW, self.tokens)

    def has(self, flag: FeatureFlag) -> bool:
        """Whether this is said of it."""
        return bool((self.flags or 0) & flag)

    @property
    def payload(self) -> bytes:
        """See storage/payload.py."""
        return self.stored.payload if self._is_moved else self.old_payload

    @property
    def quantiles(self) -> bytes:
        """float32 values at the ranks of engine/activity/quantiles.py."""
        return self.stored.quantiles if self._is_moved else self.old_quantiles

    @property
    def _is_moved(self) -> bool:
        return hasattr(self, "stored")


class FeaturePayload(models.Model):
    """What only a feature's own page draws: some kilobytes that no list of features reads."""

    feature = models.OneToOneField(Feature, models.CASCADE, primary_key=True, related_name="stored")
    quantiles = models.BinaryField(help_text="float32 values at the ranks of engine/activity/quantiles.py.")
    payload = models.BinaryField(help_text="See storage/payload.py.")

    def __str__(self):
        return str(self.feature)


class FeatureExamples(models.Model):
    """On which tokens a feature's examples stand: what the search in the text of all examples reads, and no more."""

    feature = models.OneToOneField(Feature, models.CASCADE, primary_key=True, related_name="example_tokens")
    tokens = models.BinaryField(help_text="uint32 numbers of tokens, ascending; see storage/example_tokens.py.")

    def __str__(self):
        return str(self.feature)
