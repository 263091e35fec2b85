"""What is shown of each ranked feature? Its part in the prompt, and an extract of its stored page."""

import numpy as np

from features.browse.feature_page import Text, active_tokens, examples, histogram, numbers, token_values
from features.engine.results import Examples, ShownRows
from features.storage.payload import unpack
from features.storage.readers import rows_of, vocabulary_of

LOGITS = 5  # of each sign
SEQUENCES = 10
LEFT, RIGHT = 10, 8  # tokens around the top activation, as the short context of sequences.js


def dashboards_of(sae, prompt, features, stored):
    """One dict a feature, in the order given."""
    rows = stored.whole(features)
    text = _text_of(sae) if rows else None
    activations = np.asarray(prompt.matrix(features))  # [features, tokens]
    effects = np.asarray(prompt.loss_effects(features))  # [features, tokens], NaN where there is none
    return [
        {
            "feature": feature,
            "activations": numbers(activations[at]),
            "loss_effects": numbers(effects[at]),
            **_known(rows.get(feature), text, activations[at]),
        }
        for at, feature in enumerate(features)
    ]


def _text_of(sae):
    corpus = sae.statistics.corpus
    return Text(vocabulary_of(sae), rows_of(corpus), corpus.bos)


def _known(feature, text, activations):
    """What is stored of a feature; without a readable row only what the prompt shows, and why."""
    why = "No statistics of this feature yet: only its part in the prompt is known."
    if feature is not None:
        try:
            return _stored(feature, text)
        except ValueError as error:  # stored in a layout that this version does not read
            why = str(error)
    return {"missing": True, "why": why, "maximum": float(activations.max(initial=0.0))}


def _stored(feature, text):
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


def only_rows(shown, rows):
    """The part of ShownRows that lies in some corpus rows."""
    kept = np.flatnonzero(np.isin(shown.rows, rows))
    lengths = np.diff(shown.starts)[kept]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    entries = np.repeat(shown.starts[kept] - starts[:-1], lengths) + np.arange(starts[-1])
    columns = ("positions", "activations", "losses", "loss_effects", "logit_effects")
    return ShownRows(rows=shown.rows[kept], starts=starts, **{name: getattr(shown, name)[entries] for name in columns})


def short(sequence):
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
