"""The answer to a question: which features go with a pattern, and one feature's hits, misses and false alarms as text.

One dict for the page and its JSON. Figures are of all kept activations, see docs/definitions.md.
"""

import time
from weakref import WeakKeyDictionary

import numpy as np

from ..browse import feature_json
from ..engine.ask.intervals import PrecisionIntervals
from ..engine.ask.scores import PatternRanking, Scores, rank, scores
from ..engine.ask.suspects import Suspects, suspects
from ..engine.ask.thresholds import ActiveFrom, Threshold
from ..engine.results import ExampleGroup
from ..engine.store.active_entries import FeatureEntries
from ..engine.store.kept_entries import KeptEntries
from ..judge.labels import Label, labels_of
from ..models import SAE, Feature
from ..patterns.held import Held, held_by
from ..storage.kept_activations import kept_of
from ..storage.payload import unpack_part
from .question import Asked

SHOWN = 50  # features
LINES = 10  # of each kind of text
MOST_THRESHOLDS = 16  # remembered of each set of kept entries
_thresholds: WeakKeyDictionary[KeptEntries, dict[Threshold, ActiveFrom]] = WeakKeyDictionary()
COLUMNS = ("precision", "recall", "f1", "lift", "correlation", "weighted_precision")


def answer(sae: SAE, asked: Asked) -> dict:
    """Raises NothingKept, PatternError, or ValueError and OSError where files are gone or damaged."""
    began = time.perf_counter()
    kept = kept_of(sae)
    held = held_by(sae.statistics, kept, asked.pattern)
    answer = {
        "pattern": asked.pattern,
        "from": str(asked.threshold),
        "by": asked.metric,
        "population": {"tokens": held.counted, "corpus": sae.statistics.corpus.name},
        "held": int(held.tokens.sum()),
        "ranked": 0,
        "features": [],
        "feature": None,
    }
    if 0 < answer["held"] < held.counted:
        answer |= _ranked(sae, kept, held, asked)
    return answer | {"seconds": round(time.perf_counter() - began, 3)}


def _ranked(sae: SAE, kept: KeptEntries, held: Held, asked: Asked) -> dict:
    active_from = _active_from(kept, asked.threshold, held.counted)
    least, found = active_from.least, scores(kept, held.tokens, held.counted, active_from)
    width = sae.statistics.corpus.row_length - sae.statistics.corpus.first
    ranking = rank(found, asked.metric, PrecisionIntervals(kept, held.tokens, least, width), SHOWN)
    if not len(ranking.order):
        return {}
    chosen = int(ranking.order[0]) if asked.feature is None else asked.feature
    if chosen >= kept.d_sae:
        raise ValueError(f"There is no feature {chosen:,}; they go from 0 to {kept.d_sae - 1:,}.")
    return {
        "ranked": len(ranking.order),
        "features": _features(sae, found, ranking),
        "feature": {"index": chosen} | _read(sae, kept, held, least, chosen, found.active),
    }


def _active_from(kept: KeptEntries, threshold: Threshold, counted: int) -> ActiveFrom:
    """The same for every pattern."""
    known = _thresholds.setdefault(kept, {})
    if threshold not in known:
        if len(known) >= MOST_THRESHOLDS:
            known.clear()
        known[threshold] = threshold.of(kept, counted)
    return known[threshold]


def _features(sae: SAE, found: Scores, ranking: PatternRanking) -> list[dict]:
    """A record for each of the best."""
    best = ranking.order[:SHOWN]
    labels = labels_of(sae, None, best.tolist())
    rows = Feature.objects.shown_of(sae).narrow().filter(index__in=best.tolist())
    tokens = dict(rows.values_list("index", "top_token"))
    records = feature_json.records(
        index=best,
        active=found.active[best],
        hits=found.hits[best],
        **{name: getattr(found, name)[best] for name in COLUMNS},
    )
    for record in records:
        low, high = ranking.intervals[record["index"]]
        record["precision_interval"] = feature_json.numbers([low, high])
        record["lift_interval"] = feature_json.numbers([low / found.base_rate, high / found.base_rate])
        record["top_token"] = tokens.get(record["index"], "")
        label = labels.get(record["index"], Label())
        record["label"] = label.marked
    return records


def _read(sae: SAE, kept: KeptEntries, held: Held, least: np.ndarray, index: int, counts: np.ndarray) -> dict:
    """Some tokens of each kind with the row they stand in: hits and misses drawn evenly, of false alarms the top; and
    who fired instead. `counts` [d_sae]: on how many tokens each feature is active."""
    entries = kept.feature(index)
    active = np.abs(entries.values) >= least[index]
    is_hit = held.tokens[entries.tokens]
    missed = misses(held, entries, least[index])
    strongest = np.argsort(-np.abs(entries.values[active & ~is_hit]), kind="stable")
    kinds = {
        "hits": entries.tokens[active & is_hit],
        "misses": missed,
        "false_alarms": entries.tokens[active & ~is_hit][strongest],
    }
    text = feature_json.CorpusText.of(sae)
    maximum = float(np.abs(entries.values).max()) if len(entries.values) else 0.0
    shown = {kind: tokens[:LINES] if kind == "false_alarms" else drawn(tokens) for kind, tokens in kinds.items()}
    return {
        "maximum": maximum,
        "counts": {kind: len(tokens) for kind, tokens in kinds.items()},
        **{kind: _sequences(sae, entries, tokens.astype(np.int64), text) for kind, tokens in shown.items()},
        "instead": _instead(sae, suspects(kept, missed, counts, held.counted, least), index),
    }


def misses(held: Held, entries: FeatureEntries, least: np.float32) -> np.ndarray:
    """Tokens on which the pattern holds and the feature is not active, ascending. [n]"""
    missed = held.tokens.copy()
    missed[entries.tokens[np.abs(entries.values) >= least]] = False
    return np.flatnonzero(missed)


def _instead(sae: SAE, found: Suspects, index: int) -> list[dict]:
    """A record for each, with the decoder cosine where it is stored: of neighbours and correlated features."""
    cosines = _stored_cosines(sae, index) if len(found.features) else {}
    rows = Feature.objects.shown_of(sae).narrow().filter(index__in=found.features.tolist())
    tokens = dict(rows.values_list("index", "top_token"))
    records = feature_json.records(feature=found.features, hits=found.hits, share=found.share, lift=found.lift)
    return [
        record | {"decoder_cosine": cosines.get(record["feature"]), "top_token": tokens.get(record["feature"], "")}
        for record in records
    ]


def _stored_cosines(sae: SAE, index: int) -> dict[int, float]:
    row = Feature.objects.shown_of(sae).filter(index=index).stored_values("payload").first()
    try:
        relatives = unpack_part(row[0], "relatives")
    except (TypeError, ValueError):  # without statistics, or of another version: the model says it
        return {}
    near, correlated = relatives.neighbours, relatives.correlated_features
    cosines = dict(zip(correlated.indices.tolist(), feature_json.numbers(correlated.decoder_cosine), strict=False))
    return cosines | dict(zip(near.indices.tolist(), feature_json.numbers(near.cosine), strict=True))


def drawn(tokens: np.ndarray) -> np.ndarray:
    """LINES of them at most, the same every time, in the order of the corpus."""
    if len(tokens) <= LINES:
        return tokens
    return np.sort(np.random.default_rng(0).choice(tokens, LINES, replace=False))


def _sequences(sae: SAE, entries, tokens: np.ndarray, text: feature_json.CorpusText) -> list[dict]:
    """As examples on a feature's page, without the effects on the loss, which only the model knows."""
    first = sae.statistics.corpus.first
    width = sae.statistics.corpus.row_length - first
    rows, positions = np.divmod(tokens, width)
    active = {}
    for row in np.unique(rows).tolist():
        # The feature's entries in the row, which begins at token row * width.
        part = slice(*np.searchsorted(entries.tokens, [row * width, (row + 1) * width]))
        activations = feature_json.numbers(entries.values[part])
        places = (entries.tokens[part].astype(np.int64) - row * width + first).tolist()
        active[row] = [
            {"position": position, "activation": value, "loss_effect": None}
            for position, value in zip(places, activations, strict=True)
        ]
    values = np.zeros(len(tokens), np.float32)
    # Where each token stands, or would stand, among the feature's own, which ascend.
    at = np.minimum(np.searchsorted(entries.tokens, tokens), max(0, len(entries.tokens) - 1))
    if len(entries.tokens):
        values = np.where(entries.tokens[at] == tokens, entries.values[at], values)
    group = ExampleGroup(rows, (positions + first).astype(np.int32), values, np.ones(len(rows), np.int32))
    return feature_json.sequences_of(group, active, text)
