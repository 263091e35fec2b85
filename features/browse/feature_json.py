"""How is a feature's record told as JSON? One mapping for its page, its JSON twin and the prompt page's dashboards.

Every number a script draws is here, already finite: what is undefined (a loss effect at a row's end) is None.
"""

from dataclasses import replace
from functools import partial

import numpy as np

from ..engine.activity.quantiles import quantile
from ..engine.model.vocabulary import Vocabulary
from ..engine.results import (
    HIGHEST_CORRELATES,
    Correlates,
    ExampleGroup,
    FeatureStatistics,
    Histogram,
    LogitTable,
    Relatives,
    ShownRows,
    TokenValues,
)
from ..models import SAE
from ..storage.readers import rows_of, vocabulary_of
from .windows import active_within, ends, entries_within

DIGITS = 5  # significant digits that travel; the card shows four
DRAWN = ("position", "copies", "special", "tokens", "active")  # of a line, cards apart


# Arrays to lists


def rounded(values) -> np.ndarray:
    """The values to DIGITS significant digits: shorter to send, and no float32 noise behind them."""
    values = np.asarray(values, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 10.0 ** (DIGITS - 1 - np.floor(np.log10(np.abs(values))))
        return np.where(np.isfinite(scale), np.round(values * scale) / scale, values)


def numbers(values) -> list:
    """A plain list: integers and truths as they are, floats rounded, None where there is none."""
    values = np.asarray(values)
    if values.dtype.kind in "iub":
        return values.tolist()
    return finite_or_none(rounded(values))


def finite_or_none(values: np.ndarray) -> list:
    return [value if value - value == 0 else None for value in values.tolist()]


def records(**columns) -> list[dict]:
    """[{name: value of each column}], as long as the shortest column."""
    names = list(columns)
    return [
        dict(zip(names, values, strict=True))
        for values in zip(*(numbers(column) for column in columns.values()), strict=False)
    ]


def histogram(bins: Histogram | None) -> dict | None:
    """Edges and counts; None without any."""
    if bins is None or not len(bins.counts):
        return None
    return {"edges": numbers(bins.edges), "counts": bins.counts.tolist()}


# Relatives and logits


def neuron_alignment(relatives: Relatives) -> list[dict]:
    """A record for each neuron."""
    alignment = relatives.alignment
    return records(neuron=alignment.neurons, value=alignment.values, share=alignment.shares)


def correlates(name: str, correlated: Correlates) -> list[dict]:
    """A record for each; `name`: what they are, "neuron" or "feature". `lowest`: whether it is of the low end."""
    lowest = np.arange(len(correlated.indices)) >= HIGHEST_CORRELATES
    columns = {name: correlated.indices, "lowest": lowest, "pearson": correlated.pearson, "cosine": correlated.cosine}
    if len(correlated.decoder_cosine):
        columns["decoder_cosine"] = correlated.decoder_cosine
    return records(**columns)


def neighbours(relatives: Relatives) -> list[dict]:
    """A record for each feature with a similar decoder row."""
    return records(feature=relatives.neighbours.indices, cosine=relatives.neighbours.cosine)


def logits(table: LogitTable, vocabulary: Vocabulary, most: int | None = None) -> dict:
    """Both ends of the vocabulary, at most so many tokens of each, and the histogram of all of it."""
    return {
        "positive": token_values(vocabulary, table.positive)[:most],
        "negative": token_values(vocabulary, table.negative)[:most],
        "histogram": histogram(table.histogram),
    }


def token_values(vocabulary: Vocabulary, tokens: TokenValues) -> list[dict]:
    """A record for each token."""
    return [
        # Models may have more outputs than their tokenizer has tokens.
        {"token": token, "text": vocabulary.label(token), "value": value}
        for token, value in zip(tokens.tokens.tolist(), numbers(tokens.values), strict=True)
    ]


# Sequences


class CorpusText:
    """Corpus rows as the pieces a page shows, each row read once."""

    def __init__(self, vocabulary: Vocabulary, rows: np.ndarray):
        """rows [n, length] token ids."""
        self.vocabulary = vocabulary
        self.rows = np.asarray(rows)  # a row of a memmap is slow to make
        self._read: dict[int, tuple[list[int], list[str], list[int]]] = {}

    @classmethod
    def of(cls, sae: SAE) -> "CorpusText":
        """The corpus that the SAE's statistics were computed on. Raises ValueError or OSError where it is gone."""
        return cls(vocabulary_of(sae), rows_of(sae.statistics.corpus))

    def __getitem__(self, row: int) -> tuple[list[int], list[str], list[int]]:
        """Ids and pieces of a row, and the positions of special tokens, which no figure counts."""
        if row not in self._read:
            ids = self.rows[row].tolist()
            special = [position for position, id in enumerate(ids) if id in self.vocabulary.special]
            self._read[row] = ids, self.vocabulary.pieces(ids), special
        return self._read[row]

    def within(self, row: int, start: int, stop: int) -> tuple[list[int], list[str], list[int]]:
        """The same of a part of a row, positions counted from its start."""
        ids = self.rows[row].tolist()
        part, pieces = ids[start:stop], self.vocabulary.pieces_within(ids, start, min(stop, len(ids)))
        return part, pieces, [position for position, id in enumerate(part) if id in self.vocabulary.special]


def sequences(feature: FeatureStatistics, text: CorpusText, context: tuple[int, int] | None = None) -> dict:
    """All examples, in the order they are shown: so many tokens before and after the chosen one, or whole rows."""
    examples = feature.examples
    shown = entries_within(feature.shown, examples.groups, context)
    active = active_tokens(replace(feature, shown=shown), probabilities=context is None)

    def drawn(group: ExampleGroup) -> list[dict]:
        return sequences_of(group, active, text, context)

    return {
        "top": drawn(examples.top),
        "random": drawn(examples.random),
        "intervals": [
            {
                "low": rounded(interval.low).item(),
                "high": rounded(interval.high).item(),
                "count": int(interval.count),
                "share": interval.count / feature.tokens if feature.tokens else 0.0,
                "sequences": drawn(interval.examples),
            }
            for interval in examples.intervals
        ],
    }


def top_sequences(feature: FeatureStatistics, text: CorpusText, most: int, context: tuple[int, int]) -> list[dict]:
    """The first of the top activations alone."""
    top = _first(feature.examples.top, most)
    active = active_tokens(replace(feature, shown=entries_within(feature.shown, [top], context)))
    return sequences_of(top, active, text, context)


def passing_lines(feature: FeatureStatistics, text: CorpusText, most: int, context: tuple[int, int]) -> list[dict]:
    """The same with no more than is drawn of them: nothing for cards."""
    top = _first(feature.examples.top, most)
    shown = entries_within(feature.shown, [top], context)
    columns = shown.positions.tolist(), numbers(shown.activations), numbers(shown.loss_effects)
    entries = [{"position": p, "activation": a, "loss_effect": effect} for p, a, effect in zip(*columns, strict=True)]
    lines = sequences_of(top, _by_row(shown, entries), text, context)
    return [{name: line[name] for name in DRAWN} for line in lines]


def _first(group: ExampleGroup, most: int) -> ExampleGroup:
    return ExampleGroup(*(column[:most] for column in vars(group).values()))


def largest_effect(feature: FeatureStatistics) -> float:
    """Nats: the largest loss effect in the rows of all examples, to which underlines are scaled; 0 without any."""
    effects = np.abs(feature.shown.loss_effects)
    return rounded(np.nanmax(effects)).item() if np.isfinite(effects).any() else 0.0


def sequences_of(
    group: ExampleGroup,
    active: dict[int, list[dict]],
    text: CorpusText,
    context: tuple[int, int] | None = None,
) -> list[dict]:
    """A record for each example of a group: its corpus row, or so many tokens before and after the chosen one, with the
    tokens of it that are `active`."""
    columns = (group.rows.tolist(), group.positions.tolist(), numbers(group.activations), group.copies.tolist())
    drawn = _row if context is None else partial(_window, context=context)
    return [
        {"row": row, "activation": activation, "copies": copies, **drawn(text, row, position, active.get(row, []))}
        for row, position, activation, copies in zip(*columns, strict=True)
    ]


def _row(text: CorpusText, row: int, position: int, active: list[dict]) -> dict:
    ids, tokens, special = text[row]
    return {
        "position": position,
        "bos": int(special[:1] == [0]),
        "special": special,
        "tokens": tokens,
        "ids": ids,
        "active": active,
    }


def _window(text: CorpusText, row: int, position: int, active: list[dict], context: tuple[int, int]) -> dict:
    """Same as windows.cut of the row."""
    start, stop = ends(position, context)
    ids, tokens, special = text.within(row, start, stop)
    return {
        "start": start,
        "position": position - start,
        "bos": int(start == 0 and special[:1] == [0]),
        "special": special,
        "tokens": tokens,
        "ids": ids,
        "active": active_within(active, start, stop),
    }


def active_tokens(feature: FeatureStatistics, probabilities: bool = False) -> dict[int, list[dict]]:
    """Row -> its active tokens, with what the hover card says of each. The next token's probability is exp(-loss) with
    the feature, and exp(loss_effect - loss) without: it goes along only where that is asked for."""
    shown, activity = feature.shown, feature.activity
    quantiles = quantile(activity.quantiles, activity.count, feature.tokens, shown.activations)  # [e]
    columns = (
        shown.positions.tolist(),
        numbers(shown.activations),
        np.round(quantiles, 10).tolist(),
        finite_or_none(np.round(shown.losses.astype(np.float64), DIGITS)),  # its exponential has as many digits
        numbers(shown.loss_effects),
        numbers(shown.logit_effects),
    )
    entries = [  # written out: some hundred of them, in half the time of dict(zip(…))
        {
            "position": position,
            "activation": activation,
            "quantile": share_below,
            "loss": loss,
            "loss_effect": loss_effect,
            "logit_effect": logit_effect,
        }
        for position, activation, share_below, loss, loss_effect, logit_effect in zip(*columns, strict=True)
    ]
    if probabilities:
        _add_probabilities(entries, shown)
    return _by_row(shown, entries)


def _by_row(shown: ShownRows, entries: list[dict]) -> dict[int, list[dict]]:
    starts = shown.starts.tolist()
    # The entries of the n-th row lie from starts[n] to starts[n + 1].
    return {row: entries[starts[n] : starts[n + 1]] for n, row in enumerate(shown.rows.tolist())}


def _add_probabilities(entries: list[dict], shown: ShownRows) -> None:
    losses = shown.losses.astype(np.float64)  # [e] nats
    columns = numbers(losses), numbers(np.exp(-losses)), numbers(np.exp(-(losses - shown.loss_effects)))
    for entry, loss, with_it, without_it in zip(entries, *columns, strict=True):
        entry |= {"loss": loss, "probability": with_it, "probability_without": without_it}
