"""What is shown of each ranked feature? Its part in the prompt, and an extract of its stored page."""

from typing import TYPE_CHECKING

import numpy as np

from features.browse import feature_json
from features.browse.feature_json import CorpusText, numbers
from features.engine.results import SHORT_CONTEXT
from features.models import SAE, Feature
from features.storage.feature_rows import statistics_of

from .stored_features import StoredFeatures

if TYPE_CHECKING:
    from features.engine.prompt import PromptActivations

LOGITS = 5  # of each sign
SEQUENCES = 10


def dashboards_of(
    sae: SAE, prompt: "PromptActivations", features: list[int], stored: StoredFeatures, whole: bool = True
) -> list[dict]:
    """One dict a feature, in the order given; unless `whole`, without what `stored_of` tells."""
    rows = stored.whole(features) if whole else stored.narrow(features)
    text = CorpusText.of(sae) if rows and whole else None
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


def stored_of(sae: SAE, features: list[int]) -> list[dict]:
    """The extract of each feature's page, or why there is none."""
    rows = StoredFeatures(sae).whole(features)
    text = CorpusText.of(sae) if rows else None
    return [{"feature": feature, **_extract(rows.get(feature), text)} for feature in features]


def _known(row: Feature | None, text: CorpusText | None, activations: np.ndarray) -> dict:
    """What is stored of a feature, without a text in its row alone; of what cannot be read only what the prompt shows,
    and why."""
    found = _row(row) if row is not None and text is None else _extract(row, text)
    return found | {"maximum": float(activations.max(initial=0.0))} if found["missing"] else found


def _extract(row: Feature | None, text: CorpusText | None) -> dict:
    if row is None:
        return {"missing": True, "why": "No statistics of this feature yet: only its part in the prompt is known."}
    try:
        return _row(row) | _stored(row, text)
    except ValueError as error:  # stored in a layout that this version does not read
        return {"missing": True, "why": str(error)}


def _row(row: Feature) -> dict:
    return {
        "missing": False,
        "density": row.density,
        "tokens": row.tokens,
        "maximum": row.maximum,
        "dead": row.is_dead,
        "dense": row.is_dense,
    }


def _stored(row: Feature, text: CorpusText) -> dict:
    feature = statistics_of(row)
    return {
        "activation_histogram": feature_json.histogram(feature.activity.histogram),
        "logits": feature_json.logits(feature.logits, text.vocabulary, LOGITS),
        "top": feature_json.top_sequences(feature, text, SEQUENCES, SHORT_CONTEXT),
    }
