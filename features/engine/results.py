"""What leaves the engine: frozen records of plain Python and numpy, the contract between numbers and web.

Nothing here needs torch. Arrays are one-dimensional unless their shape stands behind them; integers are
exact counts, floats are float32 values or float64 sums already reduced. `docs/definitions.md` says what each
number means.
"""

from dataclasses import dataclass, field

import numpy as np


class Cancelled(Exception):
    """The caller asked a running computation to stop; nothing was written."""


@dataclass(frozen=True)
class Progress:
    """How far a computation is; handed to the progress callback of `collect`."""

    phase: str  # "activations", "merging", "examples", "loss effects"
    done: int  # tokens, features, entries
    total: int


@dataclass(frozen=True)
class Histogram:
    """Counts between edges; the last bin includes its right edge."""

    edges: np.ndarray  # [bins + 1] float32
    counts: np.ndarray  # [bins] int64


@dataclass(frozen=True)
class TokenValues:
    """Vocabulary entries with a value each, strongest first."""

    tokens: np.ndarray  # [n] int32, vocabulary ids
    values: np.ndarray  # [n] float32


@dataclass(frozen=True)
class Alignment:
    """Neurons that weigh most in a feature's decoder row. Empty when the SAE does not read neurons."""

    neurons: np.ndarray  # [n] int32
    values: np.ndarray  # [n] float32, decoder entries with sign
    shares: np.ndarray  # [n] float32, |entry| / sum of |entries| of the row


@dataclass(frozen=True)
class Correlates:
    """Neurons or features whose activation goes with a feature's, highest Pearson correlation first."""

    indices: np.ndarray  # [n] int32
    pearson: np.ndarray  # [n] float32
    cosine: np.ndarray  # [n] float32, of the uncentred activations
    decoder_cosine: np.ndarray  # [n] float32; empty for neurons


def no_correlates() -> Correlates:
    return Correlates(np.zeros(0, np.int32), *(np.zeros(0, np.float32) for _ in range(3)))


@dataclass(frozen=True)
class Neighbours:
    """Features with the most similar decoder rows."""

    indices: np.ndarray  # [n] int32
    cosine: np.ndarray  # [n] float32


@dataclass(frozen=True)
class Examples:
    """Chosen corpus positions of one group, in the order they are shown."""

    rows: np.ndarray  # [n] int64, corpus row
    positions: np.ndarray  # [n] int32, token position within the row
    activations: np.ndarray  # [n] float32
    copies: np.ndarray  # [n] int32, windows with this very text (1 = only this one)


@dataclass(frozen=True)
class Interval:
    """An equal-width slice of a feature's activations: low < activation <= high."""

    low: float
    high: float
    count: int  # counted tokens whose activation lies in it, sign left out
    examples: Examples


@dataclass(frozen=True)
class ShownRows:
    """Every active token of the corpus rows that a feature's examples come from, row by row.

    The loss effect, the loss and the logit effect stand at the active token but speak of the next one, the
    token predicted there. They are NaN where the row ends and far (20 tokens) from every example.
    """

    rows: np.ndarray  # [r] int64, ascending corpus rows
    starts: np.ndarray  # [r + 1] int64, where each row's entries begin in the arrays below
    positions: np.ndarray  # [e] int16, active positions, ascending within a row
    activations: np.ndarray  # [e] float32
    losses: np.ndarray  # [e] float32, nats, -log p(next token) with the feature
    loss_effects: np.ndarray  # [e] float32, nats, loss with the feature - loss without it
    logit_effects: np.ndarray  # [e] float32, activation x logit effect on the next token


@dataclass(frozen=True)
class FeatureStatistics:
    """All that is known of one feature after a pass over the corpus."""

    index: int
    tokens: int  # counted tokens: the population of every share below
    count: int  # of those, with an activation that is not 0
    # Figures of the active values, their sign left out (few SAEs have one):
    maximum: float  # 0.0 when dead
    mean: float  # 0.0 when dead
    activation_histogram: Histogram | None  # None when dead
    quantiles: np.ndarray  # float32, the values at `quantile_ranks(count)`: see quantiles.py
    logit_histogram: Histogram
    positive_logits: TokenValues
    negative_logits: TokenValues
    alignment: Alignment
    correlated_neurons: Correlates
    correlated_features: Correlates
    neighbours: Neighbours
    top: Examples
    random: Examples
    intervals: tuple[Interval, ...]  # highest first; empty when dead
    shown: ShownRows
    correlated_b: Correlates = field(default_factory=no_correlates)  # features of encoder B; empty without one

    @property
    def density(self) -> float:
        """Share of counted tokens on which the feature is active. Same as reference.density: exact."""
        return self.count / self.tokens if self.tokens else 0.0


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
