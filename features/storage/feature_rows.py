"""How do a feature's statistics become a row, and a row the statistics again?

What is sorted or filtered by stands in columns, with the texts of two tokens; all else in the payload.
"""

import numpy as np

from ..engine.model.vocabulary import Vocabulary
from ..engine.results import FeatureStatistics
from ..models import Feature, Statistics
from .payload import pack, unpack


def row_of(feature: FeatureStatistics, statistics: Statistics, vocabulary: Vocabulary, corpus: np.ndarray) -> Feature:
    """A row, not saved, in a set of statistics. `corpus` [rows, length]: the token rows that examples point into."""
    top, boosted = feature.examples.top, feature.logits.positive.tokens
    fired = corpus[top.rows[0], top.positions[0]] if len(top.rows) else None
    return Feature(
        statistics=statistics,
        index=feature.index,
        tokens=feature.tokens,
        count=feature.activity.count,
        density=feature.density,
        maximum=feature.activity.maximum,
        mean=feature.activity.mean,
        top_token=_label(vocabulary, fired),
        top_logit=_label(vocabulary, boosted[0] if len(boosted) else None),
        quantiles=np.asarray(feature.activity.quantiles, np.float32).tobytes(),
        payload=pack(feature),
    )


def statistics_of(row: Feature) -> FeatureStatistics:
    """What was stored, bit for bit. Raises ValueError, or zlib.error, for what this version cannot read."""
    return unpack(
        row.payload,
        {
            "index": row.index,
            "tokens": row.tokens,
            "activity.count": row.count,
            "activity.maximum": row.maximum,
            "activity.mean": row.mean,
            "activity.quantiles": np.frombuffer(row.quantiles, np.float32),
        },
    )


def _label(vocabulary: Vocabulary, token: int | None) -> str:
    if token is None or token >= vocabulary.size:  # models may have more outputs than their tokenizer has tokens
        return ""
    return vocabulary.label(int(token)).replace("\0", "␀")[:200]  # PostgreSQL stores no NUL
