"""Which figures of a feature does the table know? One line each: shown, sorted, filtered, exported under one name."""

from dataclasses import dataclass

from django.db.models import F, FloatField
from django.db.models.expressions import Combinable
from django.db.models.functions import Cast, NullIf


@dataclass(frozen=True)
class Column:
    """`name` in addresses and files; `title` above the column; `expression` a field of Feature, or what to compute of
    its fields; `format` "percent", "figure", "decimals" (three), "count", "token" or "words"; `help` a sentence.
    `usual`: shown unless the reader chooses. `of_dead`: whether features that never fired have it. `lowest_first`: what
    a first click sorts by."""

    name: str
    title: str
    expression: str | Combinable
    format: str
    help: str
    usual: bool = True
    of_dead: bool = False
    lowest_first: bool = False

    @property
    def is_number(self) -> bool:
        return self.format not in ("token", "words")

    @property
    def attribute(self) -> str:
        """Under which name a row has it."""
        return self.expression if isinstance(self.expression, str) else self.name

    def value(self, feature):
        """Of a row; None where it has none."""
        return None if feature.is_dead and not self.of_dead else getattr(feature, self.attribute)

    @property
    def first(self) -> str:
        """The sort that a first click asks for: of numbers the highest as a rule, of words the first."""
        return f"-{self.name}" if self.is_number and not self.lowest_first else self.name

    @property
    def other(self) -> str:
        """And the second."""
        return self.name if self.first != self.name else f"-{self.name}"


def _ratio(above: str, below: str) -> Combinable:
    """None where the lower one is 0."""
    return Cast(F(above), FloatField()) / NullIf(Cast(F(below), FloatField()), 0.0)


COLUMNS = (
    Column("density", "Density", "density", "percent", "Share of counted tokens on which it fires.", of_dead=True),
    Column("count", "Fires on", "count", "count", "Counted tokens on which it fires.", usual=False, of_dead=True),
    Column("maximum", "Maximum", "maximum", "decimals", "Its highest activation."),
    Column("mean", "Mean", "mean", "decimals", "Mean of its activations where it fires."),
    Column("peak", "Max / mean", _ratio("maximum", "mean"), "figure", "How far the highest stands out.", usual=False),
    Column(
        "nearest",
        "Nearest decoder",
        "nearest_cosine",
        "decimals",
        "Cosine with the most similar decoder row.",
        False,
        True,
    ),
    Column(
        "correlated",
        "Correlation",
        "strongest_correlation",
        "decimals",
        "Highest Pearson correlation with another feature of this SAE.",
        usual=False,
    ),
    Column(
        "importance",
        "Importance",
        "importance",
        "figure",
        "Mean loss effect on random positives x density, in nats per million tokens: negative helps.",
        usual=False,
        lowest_first=True,
    ),
    Column(
        "importance_margin",
        "± (95 %)",
        "importance_margin",
        "figure",
        "Half of the interval of its importance.",
        usual=False,
        lowest_first=True,
    ),
    Column("encoder_norm", "Encoder norm", "encoder_norm", "figure", "Length of its column of W_enc.", False, True),
    Column(
        "encoder_cosine",
        "Encoder-decoder",
        "encoder_cosine",
        "decimals",
        "Cosine of its encoder column with its decoder row; near 0: it reads something else than it writes.",
        False,
        True,
    ),
    Column(
        "description_f1",
        "Description's F1",
        "description_f1",
        "decimals",
        "Of the best simple pattern, on rows it was not chosen on.",
        usual=False,
    ),
    Column(
        "token_entropy",
        "Token entropy",
        "token_entropy",
        "figure",
        "Of which token it fires on, in bits: 0 is one token always.",
        usual=False,
        lowest_first=True,
    ),
    Column("skew", "Skewness", "skew", "figure", "Of its active values.", usual=False),
    Column("twins", "Alike", "twins", "count", "Features nearly the same, itself among them; 0: none.", False, True),
    Column("top_token", "Fires most on", "top_token", "token", "The token of its highest activation."),
    Column("top_logit", "Boosts most", "top_logit", "token", "The token whose logit it raises most.", of_dead=True),
    Column(
        "description", "Description", F("described__line"), "words", "By a simple pattern, not by a model or a person."
    ),
)
BY_NAME = {column.name: column for column in COLUMNS}
RANGED = {name: column for name, column in BY_NAME.items() if column.is_number}
# Kept with the labels, not with the features: filtered by hand.
DETECTED = Column("detection", "Detection", "detection", "percent", "Of a machine's label, on held-out examples.")
FILTERED = RANGED | {DETECTED.name: DETECTED}  # what a range can be of


def chosen(names: tuple[str, ...]) -> list[Column]:
    """The columns of these names; the usual ones without any."""
    return [column for column in COLUMNS if (column.name in names if names else column.usual)]


def annotated(features, columns):
    """Features with what has to be computed of their fields under the column's name."""
    return features.annotate(**{c.name: c.expression for c in columns if not isinstance(c.expression, str)})
