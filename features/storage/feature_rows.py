"""How do a feature's statistics become a row, and a row the statistics again?

What is sorted or filtered by stands in columns, with the texts of two tokens; all else in a row beside it.
"""

from collections.abc import Sequence

import numpy as np

from ..engine.model.vocabulary import Vocabulary
from ..engine.results import FeatureStatistics
from ..models import Feature, FeatureExamples, FeaturePayload, FeatureSearch, Statistics
from . import twins
from .example_tokens import tokens_of
from .payload import pack, unpack

LABEL_BYTES = 48  # of a token's text in UTF-8, so that a row stays within 256 bytes
CUT = "…"  # where there is more


def row_of(feature: FeatureStatistics, statistics: Statistics, vocabulary: Vocabulary, corpus: np.ndarray) -> Feature:
    """A row in a set of statistics with what is `stored` beside it, neither of them saved.

    `corpus` [rows, length]: the token rows that examples point into.
    """
    top, boosted = feature.examples.top, feature.logits.positive.tokens
    fired = corpus[top.rows[0], top.positions[0]] if len(top.rows) else None
    row = Feature(
        statistics=statistics,
        index=feature.index,
        tokens=feature.tokens,
        count=feature.activity.count,
        density=feature.density,
        maximum=feature.activity.maximum,
        mean=feature.activity.mean,
        top_token=_label(vocabulary, fired),
        top_logit=_label(vocabulary, boosted[0] if len(boosted) else None),
    )
    quantiles = np.asarray(feature.activity.quantiles, np.float32).tobytes()
    twins.of_statistics(row, feature)  # is row.search from now on
    FeaturePayload(feature=row, quantiles=quantiles, payload=pack(feature))  # is row.stored from now on
    tokens = tokens_of(feature.examples, statistics.corpus).tobytes()
    FeatureExamples(feature=row, tokens=tokens)  # is row.example_tokens
    return row


def save(rows: Sequence[Feature]) -> None:
    """Save new rows and what is stored beside them. The caller holds the transaction."""
    Feature.objects.bulk_create(rows)
    FeaturePayload.objects.bulk_create([row.stored for row in rows])
    FeatureSearch.objects.bulk_create([row.search for row in rows])
    FeatureExamples.objects.bulk_create([row.example_tokens for row in rows])


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
    if token is None:
        return ""
    text = vocabulary.label(int(token)).replace("\0", "␀")  # PostgreSQL stores no NUL
    whole = text.encode()
    if len(whole) <= LABEL_BYTES:
        return text
    return whole[: LABEL_BYTES - len(CUT.encode())].decode(errors="ignore") + CUT
