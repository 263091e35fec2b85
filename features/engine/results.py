"""What leaves the engine: frozen records of plain Python and numpy, the contract between numbers and web.

Nothing here needs torch. Integers are exact counts, floats are float32 values or float64 sums already reduced.
`docs/definitions.md` says what each number means.
"""

from dataclasses import dataclass, field
from typing import Annotated

import numpy as np

FEW = 10  # activations below which pages tell counts: a share of so few has no three digits
DENSE_ABOVE = 0.1  # share of tokens above which a feature is called dense
RARE_BELOW = 1e-4  # density below which a feature is ultra-rare
LEAST_FEATURES = 100  # with encoder columns, of which a common direction is told
LOSS_ROWS, QUICK_LOSS_ROWS = 256, 64  # that losses are measured on unless more are asked for; in quick results
HIGHEST_CORRELATES, LOWEST_CORRELATES = 7, 3  # of a feature, kept at either end
SHORT_CONTEXT = (10, 8)  # tokens before and after an example's chosen one that pages show first


def is_told(density: float, tokens: int) -> bool:
    """Whether so many counted tokens tell which features have a density below this one: where one of just this density
    is expected on FEW of them."""
    return density * tokens >= FEW


class Cancelled(Exception):
    """The caller asked a running computation to stop; nothing was written."""


@dataclass(frozen=True)
class Progress:
    """How far a computation is; handed to the progress callback of `collect`."""

    phase: str  # "activations", "merging", "examples", "loss effects"
    done: int  # tokens, features, entries
    total: int


# One-dimensional arrays. In which type one is stored is read off these annotations (`storage/payload.py`).
Int16 = Annotated[np.ndarray, np.int16]
Int32 = Annotated[np.ndarray, np.int32]
Int64 = Annotated[np.ndarray, np.int64]
Float32 = Annotated[np.ndarray, np.float32]


@dataclass(frozen=True)
class Histogram:
    """Counts between edges; the last bin includes its right edge."""

    edges: Float32  # [bins + 1]
    counts: Int64  # [bins]


@dataclass(frozen=True)
class TokenValues:
    """Vocabulary entries with a value each, strongest first."""

    tokens: Int32  # [n] vocabulary ids
    values: Float32  # [n]


@dataclass(frozen=True)
class Alignment:
    """Neurons that weigh most in a feature's decoder row. Empty when the SAE does not read neurons."""

    neurons: Int32  # [n]
    values: Float32  # [n] decoder entries with sign
    shares: Float32  # [n] |entry| / sum of |entries| of the row


@dataclass(frozen=True)
class Correlates:
    """Neurons or features whose activation goes with a feature's, highest Pearson correlation first: those of the high
    end, at most HIGHEST_CORRELATES, then those of the low end, which are negative."""

    indices: Int32  # [n]
    pearson: Float32  # [n]
    cosine: Float32  # [n] of the uncentred activations
    decoder_cosine: Float32  # [n]; empty for neurons


def no_correlates() -> Correlates:
    """Of a feature with nothing to go with."""
    return Correlates(np.zeros(0, np.int32), *(np.zeros(0, np.float32) for _ in range(3)))


@dataclass(frozen=True)
class Neighbours:
    """Features with the most similar decoder rows."""

    indices: Int32  # [n]
    cosine: Float32  # [n]


@dataclass(frozen=True)
class ExampleGroup:
    """Chosen corpus positions of one group, in the order they are shown."""

    rows: Int64  # [n] corpus row
    positions: Int32  # [n] token position within the row
    activations: Float32  # [n]
    copies: Int32  # [n] windows with this text, or nearly this (1 = only this one)


@dataclass(frozen=True)
class Interval:
    """An equal-width slice of a feature's activations: low < activation <= high."""

    low: float
    high: float
    count: int  # counted tokens whose activation lies in it, sign left out
    examples: ExampleGroup


# The parts of a feature's statistics


@dataclass(frozen=True)
class Activity:
    """On how many tokens a feature is active and how strongly; the sign of activations left out (few SAEs have one)."""

    count: int  # counted tokens with an activation that is not 0
    maximum: float  # 0.0 when dead
    mean: float  # of the active values; 0.0 when dead
    quantiles: Float32  # the active values at `quantile_ranks(count)`: see activity/quantiles.py
    histogram: Histogram | None  # of the active values; None when dead


@dataclass(frozen=True)
class Examples:
    """The corpus positions that stand for a feature."""

    top: ExampleGroup  # highest activations
    random: ExampleGroup  # drawn evenly from all active tokens
    intervals: tuple[Interval, ...]  # highest first; empty when dead

    @property
    def groups(self) -> list[ExampleGroup]:
        """All of them, in the order they are shown."""
        return [self.top, self.random, *(interval.examples for interval in self.intervals)]


@dataclass(frozen=True)
class Relatives:
    """Neurons and other features that go with a feature, in what they do on the corpus or in their weights."""

    alignment: Alignment
    correlated_neurons: Correlates
    correlated_features: Correlates
    neighbours: Neighbours
    correlated_b: Correlates = field(default_factory=no_correlates)  # features of encoder B; empty without one


@dataclass(frozen=True)
class LogitTable:
    """A feature's logit effects: both ends of the vocabulary, and all of it as a histogram."""

    positive: TokenValues
    negative: TokenValues
    histogram: Histogram


@dataclass(frozen=True)
class ShownRows:
    """Every active token of the corpus rows that a feature's examples come from, row by row.

    The loss effect, the loss and the logit effect stand at the active token but speak of the next one, the
    token predicted there. They are NaN where the row ends and far from every example (see activity/top_examples.py).
    """

    rows: Int64  # [r] ascending corpus rows
    starts: Int64  # [r + 1] where each row's entries begin in the arrays below
    positions: Int16  # [e] active positions, ascending within a row
    activations: Float32  # [e]
    losses: Float32  # [e] nats, -log p(next token) with the feature
    loss_effects: Float32  # [e] nats, loss with the feature - loss without it
    logit_effects: Float32  # [e] activation x logit effect on the next token


@dataclass(frozen=True)
class FeatureStatistics:
    """All that is known of one feature after a pass over the corpus.

    A figure that is added to one of its parts is stored and read without more ado. What was stored before it was
    added lacks it, so it needs a default.
    """

    index: int
    tokens: int  # counted tokens: the population of every share
    activity: Activity
    examples: Examples
    relatives: Relatives
    logits: LogitTable
    shown: ShownRows

    @property
    def density(self) -> float:
        """Share of counted tokens on which the feature is active. Same as reference.density: exact."""
        return self.activity.count / self.tokens if self.tokens else 0.0


@dataclass(frozen=True)
class Health:
    """Whether a dictionary is broken in a way that errors and densities do not show. None where too few features fired.

    Stored as JSON. A figure added here needs a default: what was stored before lacks it.
    """

    directions: int = 0  # features that fired and whose encoder column is not zero: the population of the next four
    common_direction: float | None = None  # mean pairwise cosine of their encoder columns
    first_share: float | None = None  # share of the columns' squared length on their first singular direction
    common_direction_rarest: float | None = None  # the same two, of the half that fires least
    first_share_rarest: float | None = None
    encoder_decoder_cosine: float | None = None  # median over features that fired
    apart: int = 0  # features with a cosine below 0.2
    rare: int = 0  # features with a density below 1e-4, dead ones among them
    largest_l0: int = 0  # features active on the token on which most are
    sampled_tokens: int = 0  # counted tokens of the rows drawn for the next three
    sampled_alive: int = 0  # features active there
    swarm: int = 0  # of these, those whose strongest position is among the five strongest of many others
    agree: int = 0  # of these, those of whose 20 strongest positions 10 have the same token, or the same one before


@dataclass(frozen=True)
class Encoders:
    """Of each feature's encoder, and whether it goes along with many others; None where that was not looked at."""

    norms: Float32  # [d_sae] of its column of W_enc
    cosines: Float32  # [d_sae] with its row of W_dec; NaN where one is all zeros
    common: Annotated[np.ndarray, np.bool_] | None  # [d_sae] on the direction that many encoders share
    swarm: Annotated[np.ndarray, np.bool_] | None  # [d_sae] its strongest position is among those of many others


@dataclass(frozen=True)
class Summary:
    """Figures of a whole SAE on a corpus, and what is needed to have them again."""

    tokens: int
    rows: int
    l0: float  # mean number of active features per counted token
    explained_variance: float
    loss_clean: float  # nats per predicted token, on `loss_tokens` of them
    loss_reconstructed: float
    loss_zero_ablated: float
    loss_tokens: int
    dead: int
    dense: int
    seed: int
    versions: dict = field(default_factory=dict)
    health: Health | None = field(default_factory=Health)  # None in quick results
    encoders: Encoders | None = None  # likewise
    loss_rows: int = 0  # that the losses are measured on; 0 in what earlier versions computed
    loss_recovered_margin: float = float("nan")  # half of its 95 % interval
    loss_cost_margin: float = float("nan")  # the same of loss_reconstructed - loss_clean, in nats

    @property
    def loss_recovered(self) -> float:
        """(zero-ablated - reconstructed) / (zero-ablated - clean). Same as reference.loss_recovered: exact."""
        gap = self.loss_zero_ablated - self.loss_clean
        return (self.loss_zero_ablated - self.loss_reconstructed) / gap if gap else float("nan")


@dataclass(frozen=True)
class Score:
    """A feature's standing at one activation of a prompt."""

    feature: int
    score: float  # in the unit of the metric it was ranked by
    activation: float
    quantile: float | None  # None when the SAE has no statistics yet
    loss_effect: float | None  # nats, on the token after the activation; None at the end of the prompt
