"""What is shown of each ranked feature? Its part in the prompt, and an extract of its stored page."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from features.browse import feature_json
from features.browse.feature_json import Text, numbers
from features.engine.results import SHORT_CONTEXT, ExampleGroup, ShownRows
from features.models import SAE, Feature
from features.storage.feature_rows import statistics_of

from .stored_features import StoredFeatures

if TYPE_CHECKING:
    from features.engine.prompt import PromptActivations

LOGITS = 5  # of each sign
SEQUENCES = 10
BEFORE, AFTER = SHORT_CONTEXT


def dashboards_of(sae: SAE, prompt: "PromptActivations", features: list[int], stored: StoredFeatures) -> list[dict]:
    """One dict a feature, in the order given."""
    rows = stored.whole(features)
    text = Text.of(sae) if rows else None
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


def _known(row: Feature | None, text: Text | None, activations: np.ndarray) -> dict:
    """What is stored of a feature; without a readable row only what the prompt shows, and why."""
    why = "No statistics of this feature yet: only its part in the prompt is known."
    if row is not None:
        try:
            return _stored(row, text)
        except ValueError as error:  # stored in a layout that this version does not read
            why = str(error)
    return {"missing": True, "why": why, "maximum": float(activations.max(initial=0.0))}


def _stored(row: Feature, text: Text) -> dict:
    feature = statistics_of(row)
    top = ExampleGroup(*(column[:SEQUENCES] for column in vars(feature.examples.top).values()))
    active = feature_json.active_tokens(replace(feature, shown=only_rows(feature.shown, top.rows)))
    return {
        "missing": False,
        "density": row.density,
        "tokens": row.tokens,
        "maximum": row.maximum,
        "dead": row.is_dead,
        "dense": row.is_dense,
        "activation_histogram": feature_json.histogram(feature.activity.histogram),
        "logits": feature_json.logits(feature.logits, text.vocabulary, LOGITS),
        "top": [short(sequence) for sequence in feature_json.sequences_of(top, active, text)],
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
    start = max(0, sequence["position"] - BEFORE)
    stop = sequence["position"] + AFTER + 1
    return {
        **sequence,
        "start": start,
        "position": sequence["position"] - start,
        "bos": sequence["bos"] if start == 0 else 0,
        "special": [position - start for position in sequence["special"] if start <= position < stop],
        "tokens": sequence["tokens"][start:stop],
        "ids": sequence["ids"][start:stop],
        "active": [
            # One before the window: its loss effect stands under the window's first token.
            {**entry, "position": entry["position"] - start}
            for entry in sequence["active"]
            if start - 1 <= entry["position"] < stop
        ],
    }
