"""How do a feature's statistics become a row, and a row the statistics again?

What is sorted or filtered by stands in columns, with the texts of two tokens; all else in a row beside it. What was
worked out of a feature after it was shown goes over to a new row of the same set.
"""

from collections.abc import Sequence

import numpy as np

from ..engine.model.vocabulary import Vocabulary
from ..engine.results import FeatureStatistics
from ..models import (
    Feature,
    FeatureAnalysis,
    FeatureDescription,
    FeatureExamples,
    FeatureFlag,
    FeaturePayload,
    FeatureQuerySet,
    FeatureSearch,
    Statistics,
)
from . import twins
from .example_tokens import tokens_of
from .payload import pack, unpack

LABEL_BYTES = 48  # of a token's text in UTF-8, so that a row stays within 256 bytes
CUT = "…"  # where there is more
WORKED_OUT = ("importance", "importance_margin", "token_entropy", "skew", "description_f1")
WORKED_OUT_FLAGS = (
    FeatureFlag.NO_SIMPLE_PATTERN
    | FeatureFlag.TOO_RARE_TO_DESCRIBE
    | FeatureFlag.ONE_TOKEN
    | FeatureFlag.ONE_POSITION
    | FeatureFlag.BOS_ONLY
)


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


def carry_over(old: FeatureQuerySet, new: FeatureQuerySet) -> bool:
    """What was worked out of the old rows goes over to the new ones of the same features, which were computed of the
    same weights on the same tokens. Whether all new ones have an old one. The caller holds the transaction."""
    before = {row.index: row for row in old.narrow().select_related("described")}
    rows = {row.index: row for row in new.narrow()}
    for row in rows.values():
        if row.index in before:
            for name in WORKED_OUT:
                setattr(row, name, getattr(before[row.index], name))
            row.flags = (row.flags or 0) & ~WORKED_OUT_FLAGS | (before[row.index].flags or 0) & WORKED_OUT_FLAGS
    Feature.objects.bulk_update(rows.values(), [*WORKED_OUT, "flags"])
    moved = list(FeatureAnalysis.objects.filter(feature__in=old).select_related("feature").defer("payload"))
    for analysis in moved:
        analysis.feature = rows.get(analysis.feature.index, analysis.feature)
    FeatureAnalysis.objects.bulk_update(moved, ["feature"])
    described = [row.described for row in before.values() if row.index in rows and hasattr(row, "described")]
    for description in described:
        description.feature = rows[description.feature.index]  # is its key: this is another row
    FeatureDescription.objects.bulk_create(described)
    return before.keys() >= rows.keys()


def statistics_of(row: Feature) -> FeatureStatistics:
    """What was stored, bit for bit. Raises ValueError for what this version cannot read, and for what is damaged."""
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
