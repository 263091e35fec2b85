"""What does a feature's page show? Row, payload and corpus text, as one dict for page and JSON alike.

Every number a script draws is here, already finite: what is undefined (a loss effect at a row's end) is None.
"""

import zlib

import numpy as np
from django.urls import reverse

from ..engine.activity.quantiles import quantile
from ..engine.results import Correlates, Examples, Histogram, ShownRows, TokenValues
from ..models import SAE, Feature, Statistics
from ..storage.findings_file import findings_of
from ..storage.payload import unpack
from ..storage.readers import rows_of, vocabulary_of
from .reproduce import snippet

DIGITS = 5  # significant digits that travel; the card shows four


def feature_page(sae: SAE, feature: Feature, previous: int | None, next: int | None, previews=None) -> dict:
    """The dict of one feature. `previews(sae, indices)` finds the few figures of those it points to."""
    payload, vocabulary, rows = opened(sae, feature)
    b = encoder_b(sae.statistics)
    shown_of_b = payload.correlated_b.indices.tolist() if b and b["address"] else []
    text = Text(vocabulary, rows, sae.statistics.corpus.bos)
    return {
        **missing_page(sae, feature.index, previous, next),
        "missing": False,
        "population": population(sae.statistics, feature),
        "reproduce": snippet(sae, sae.statistics, feature.index),
        "density": feature.density,
        "count": feature.count,
        "maximum": feature.maximum,
        "mean": feature.mean,
        "dead": feature.is_dead,
        "dense": feature.is_dense,
        "neuron_alignment": records(
            neuron=payload.alignment.neurons, value=payload.alignment.values, share=payload.alignment.shares
        ),
        "correlated_neurons": correlates("neuron", payload.correlated_neurons),
        "correlated_features": correlates("feature", payload.correlated_features),
        "encoder_b": b,
        "correlated_b": correlates("feature", payload.correlated_b) if b else [],
        "neighbours": records(feature=payload.neighbours.indices, cosine=payload.neighbours.cosine),
        "previews": previews(sae, pointed_to(payload)) if previews else {},
        "previews_b": previews(sae.statistics.encoder_b, shown_of_b) if previews and shown_of_b else {},
        "logits": {
            "positive": token_values(vocabulary, payload.positive_logits),
            "negative": token_values(vocabulary, payload.negative_logits),
            "histogram": histogram(payload.logit_histogram),
        },
        "activation_histogram": histogram(payload.activation_histogram),
        "sequences": sequences(payload, feature, text),
    }


class Unreadable(Exception):
    """There are statistics, but what they are shown with is gone or of another version; it says what."""


def opened(sae: SAE, feature: Feature):
    """The payload, the vocabulary and the corpus rows. Raises Unreadable."""
    try:
        return unpack(feature.payload), vocabulary_of(sae), rows_of(sae.statistics.corpus)
    except (ValueError, OSError, zlib.error) as problem:
        raise Unreadable(f"The stored figures of this feature cannot be shown: {problem}") from problem


def missing_page(sae: SAE, index: int, previous: int | None, next: int | None) -> dict:
    """What a page can say of a feature without statistics."""
    told = {"sae": sae_facts(sae), "index": index, "finding": told_of(sae, index)}
    return told | {"previous": previous, "next": next, "missing": True}


def told_of(sae: SAE, index: int) -> dict | None:
    """What somebody has found out about this feature, if anybody has."""
    finding = findings_of(sae).of(index)
    return finding and {name: getattr(finding, name) for name in ("name", "sentence", "look_at")}


def sae_facts(sae: SAE) -> dict:
    return {
        "slug": sae.slug,
        "name": sae.name,
        "d_sae": sae.d_sae,
        "model": sae.model_name,
        "hook_point": sae.hook_point,
        "neurons": sae.neurons,
        "total_effect": sae.total_effect,
        "checkpoint": sae.checkpoint_hash,
        "format": sae.format,
        "dtype": sae.dtype,
    }


def encoder_b(statistics: Statistics) -> dict | None:
    """The SAE whose features were correlated with; its address only while its pages show those very weights."""
    if not statistics.encoder_b_hash:
        return None
    b = statistics.encoder_b
    same = b is not None and b.statistics_id is not None and statistics.correlated_with(b)
    return {
        "slug": b.slug if b else None,
        "name": b.name if b else "an SAE that is no longer here",
        "checkpoint": statistics.encoder_b_hash,
        "address": reverse("features:table", args=[b.slug]) if same else None,
    }


def population(statistics: Statistics, feature: Feature) -> dict:
    return {
        "tokens": feature.tokens,
        "corpus": statistics.corpus.name,
        "checkpoint": statistics.checkpoint_hash,
        "computed": statistics.completed and statistics.completed.isoformat(timespec="minutes"),
        "seed": statistics.seed,
        "bos": statistics.corpus.bos,
        "versions": statistics.versions,
    }


def preview(feature: Feature) -> dict:
    """The few figures that stand beside a link to a feature."""
    return {
        "density": feature.density,
        "maximum": feature.maximum,
        "top_token": feature.top_token,
        "top_logit": feature.top_logit,
        "dead": feature.is_dead,
        "dense": feature.is_dense,
    }


def pointed_to(payload) -> list[int]:
    """The features this one links to."""
    return np.union1d(payload.correlated_features.indices, payload.neighbours.indices).tolist()


# Arrays to lists


def rounded(values, digits: int = DIGITS) -> np.ndarray:
    """The values to so many significant digits: shorter to send, and no float32 noise behind them."""
    values = np.asarray(values, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 10.0 ** (digits - 1 - np.floor(np.log10(np.abs(values))))
        return np.where(np.isfinite(scale), np.round(values * scale) / scale, values)


def numbers(values) -> list:
    """A plain list: integers as they are, floats rounded, None where there is none."""
    values = np.asarray(values)
    if values.dtype.kind in "iu":
        return values.tolist()
    return [value if value - value == 0 else None for value in rounded(values).tolist()]


def records(**columns) -> list[dict]:
    """[{name: value of each column}], as long as the shortest column."""
    names = list(columns)
    return [
        dict(zip(names, values, strict=True))
        for values in zip(*(numbers(column) for column in columns.values()), strict=False)
    ]


def correlates(name: str, found: Correlates) -> list[dict]:
    columns = {name: found.indices, "pearson": found.pearson, "cosine": found.cosine}
    if len(found.decoder_cosine):
        columns["decoder_cosine"] = found.decoder_cosine
    return records(**columns)


def token_values(vocabulary, found: TokenValues) -> list[dict]:
    return [
        # Models may have more outputs than their tokenizer has tokens.
        {"token": token, "text": vocabulary.label(token) if token < vocabulary.size else "", "value": value}
        for token, value in zip(found.tokens.tolist(), numbers(found.values), strict=True)
    ]


def histogram(found: Histogram | None) -> dict | None:
    if found is None or not len(found.counts):
        return None
    return {"edges": numbers(found.edges), "counts": found.counts.tolist()}


# Sequences


class Text:
    """Corpus rows as the pieces a page shows, each row read once."""

    def __init__(self, vocabulary, rows: np.ndarray, bos: bool):
        self.vocabulary, self.bos = vocabulary, int(bos)
        self.rows = np.asarray(rows)  # a row of a memmap is slow to make
        self._read: dict[int, tuple[list[int], list[str]]] = {}

    def __getitem__(self, row: int) -> tuple[list[int], list[str]]:
        if row not in self._read:
            ids = self.rows[row].tolist()
            self._read[row] = ids, self.vocabulary.pieces(ids)
        return self._read[row]


def sequences(payload, feature: Feature, text: Text) -> dict:
    ladder = np.frombuffer(feature.quantiles, dtype=np.float32)
    active = active_tokens(payload.shown, ladder, feature.count, feature.tokens)
    return {
        "top": examples(payload.top, active, text),
        "random": examples(payload.random, active, text),
        "intervals": [
            {
                "low": rounded(interval.low).item(),
                "high": rounded(interval.high).item(),
                "count": int(interval.count),
                "share": interval.count / feature.tokens if feature.tokens else 0.0,
                "sequences": examples(interval.examples, active, text),
            }
            for interval in payload.intervals
        ],
    }


def examples(found: Examples, active: dict[int, list[dict]], text: Text) -> list[dict]:
    chosen = zip(
        found.rows.tolist(),
        found.positions.tolist(),
        numbers(found.activations),
        found.copies.tolist(),
        strict=True,
    )
    return [
        {
            "row": row,
            "position": position,
            "activation": activation,
            "copies": copies,
            "bos": text.bos,
            "tokens": text[row][1],
            "ids": text[row][0],
            "active": active.get(row, []),
        }
        for row, position, activation, copies in chosen
    ]


def active_tokens(shown: ShownRows, ladder: np.ndarray, count: int, tokens: int) -> dict[int, list[dict]]:
    """Row -> its active tokens, with everything the hover card says of each."""
    probability = np.exp(-shown.losses.astype(np.float64))
    without = np.exp(-(shown.losses.astype(np.float64) - shown.loss_effects))
    entries = [
        {
            "position": position,
            "activation": activation,
            "quantile": q,
            "loss": loss,
            "loss_effect": loss_effect,
            "logit_effect": logit_effect,
            "probability": p,
            "probability_without": p_without,
        }
        for position, activation, q, loss, loss_effect, logit_effect, p, p_without in zip(
            shown.positions.tolist(),
            numbers(shown.activations),
            np.round(quantile(ladder, count, tokens, shown.activations), 10).tolist(),
            numbers(shown.losses),
            numbers(shown.loss_effects),
            numbers(shown.logit_effects),
            numbers(probability),
            numbers(without),
            strict=True,
        )
    ]
    starts = shown.starts.tolist()
    return {row: entries[starts[at] : starts[at + 1]] for at, row in enumerate(shown.rows.tolist())}
