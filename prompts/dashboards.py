"""What is shown of each ranked feature? Its part in the prompt, and an extract of its stored page."""

from typing import TYPE_CHECKING

import numpy as np

from features.browse.feature_page import Text, active_tokens, examples, histogram, numbers, token_values
from features.engine.results import Examples, ShownRows
from features.models import SAE, Feature
from features.storage.payload import unpack
from features.storage.readers import rows_of, vocabulary_of

from .stored_features import StoredFeatures

if TYPE_CHECKING:
    from features.engine.prompt import PromptActivations

LOGITS = 5  # of each sign
SEQUENCES = 10
LEFT, RIGHT = 10, 8  # tokens around the top activation, as the short context of sequences.js


def dashboards_of(sae: SAE, prompt: "PromptActivations", features: list[int], stored: StoredFeatures) -> list[dict]:
    """One dict a feature, in the order given."""
    rows = stored.whole(features)
    text = _text_of(sae) if rows else None
    activations = np.asarray(prompt.matrix(features))  # [features, tokens]
    effects = np.asarray(prompt.loss_effects(features))  # [features, tokens], NaN where there is none
    return [
        {
            "feature": feature,
            "activations": numbers(activations[i]),
            "loss_effects": numbers(effects[i]),
            **_known(rows.get(feature), text, activations[i]),
        }
        for i, feature in enumerate(features)
    ]


def _text_of(sae: SAE) -> Text:
    corpus = sae.statistics.corpus
    return Text(vocabulary_of(sae), rows_of(corpus), corpus.bos)


def _known(feature: Feature | None, text: Text | None, activations: np.ndarray) -> dict:
    """What is stored of a feature; without a readable row only what the prompt shows, and why."""
    why = "No statistics of this feature yet: only its part in the prompt is known."
    if feature is not None:
        try:
            return _stored(feature, text)
        except ValueError as error:  # stored in a layout that this version does not read
            why = str(error)
    return {"missing": True, "why": why, "maximum": float(activations.max(initial=0.0))}


def _stored(feature: Feature, text: Text) -> dict:
    payload = unpack(feature.payload)
    top = Examples(*(column[:SEQUENCES] for column in vars(payload.top).values()))
    shown = only_rows(payload.shown, top.rows)
    active = active_tokens(shown, np.frombuffer(feature.quantiles, np.float32), feature.count, feature.tokens)
    return {
        "missing": False,
        "density": feature.density,
        "tokens": feature.tokens,
        "maximum": feature.maximum,
        "dead": feature.is_dead,
        "dense": feature.is_dense,
        "activation_histogram": histogram(payload.activation_histogram),
        "logits": {
            "positive": token_values(text.vocabulary, payload.positive_logits)[:LOGITS],
            "negative": token_values(text.vocabulary, payload.negative_logits)[:LOGITS],
            "histogram": histogram(payload.logit_histogram),
        },
        "top": [short(sequence) for sequence in examples(top, active, text)],
    }


def only_rows(shown: ShownRows, rows: np.ndarray) -> ShownRows:
    """The part of ShownRows that lies in some corpus rows."""
    kept = np.flatnonzero(np.isin(shown.rows, rows))  # [kept]
    lengths = np.diff(shown.starts)[kept]  # [kept], entries of each row
    starts = np.concatenate([[0], np.cumsum(lengths)])  # [kept + 1]
    # Each kept row's entries move from its old start to its new one: the shift is repeated for all of them.
    entries = np.repeat(shown.starts[kept] - starts[:-1], lengths) + np.arange(starts[-1])  # [entries]
    columns = ("positions", "activations", "losses", "loss_effects", "logit_effects")
    return ShownRows(rows=shown.rows[kept], starts=starts, **{name: getattr(shown, name)[entries] for name in columns})


def short(sequence: dict) -> dict:
    """A window around the chosen token; its positions count from the window's start, which `start` tells."""
    start = max(0, sequence["position"] - LEFT)
    stop = sequence["position"] + RIGHT + 1
    return {
        **sequence,
        "start": start,
        "position": sequence["position"] - start,
        "bos": sequence["bos"] if start == 0 else 0,
        "tokens": sequence["tokens"][start:stop],
        "ids": sequence["ids"][start:stop],
        "active": [
            # One before the window: its loss effect stands under the window's first token.
            {**entry, "position": entry["position"] - start}
            for entry in sequence["active"]
            if start - 1 <= entry["position"] < stop
        ],
    }
