"""Which simple pattern describes each feature of a set of statistics? Found by the engine, kept in rows, searched.

No language model and no person has a part in it; pages say so.
"""

from collections.abc import Callable, Sequence

import numpy as np
from django.db import transaction

from ..engine.ask.row_text import TokenBytes, row_texts
from ..engine.descriptions.family import LEAST_ACTIVATIONS, LEAST_F1, shown
from ..engine.model.vocabulary import Vocabulary
from ..engine.store.kept_entries import KeptEntries
from ..models import Feature, FeatureDescription, FeatureFlag, FeatureSearch, Statistics
from ..storage.readers import documents_of

NO_PATTERN, TOO_RARE = "no simple pattern", "too rare to describe"
BY = "described by a simple pattern, not by a model or a person"
BOOSTED = 3  # tokens that a line names
BATCH = 500  # features in one transaction, so that no other writer waits long
LONGEST = FeatureDescription._meta.get_field("line").max_length
OURS = FeatureFlag.NO_SIMPLE_PATTERN | FeatureFlag.TOO_RARE_TO_DESCRIBE


def describe(
    statistics: Statistics,
    kept: KeptEntries,
    rows: np.ndarray,
    vocabulary: Vocabulary,
    check: Callable[[], None] = lambda: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict:
    """Describe every feature by its activations that are kept, of these rows; what is said of the SAE as a whole.

    `check()` is called in each transaction, `progress(done, total)` hears of features; both may raise to stop. Raises
    what reading the corpus does.
    """
    from ..engine.descriptions.choose import descriptions  # numba takes a second, and the site never needs it
    from ..engine.descriptions.text_table import text_table

    corpus, tokens = statistics.corpus, TokenBytes(vocabulary)
    documents = documents_of(corpus)
    texts = row_texts(rows, corpus.first, tokens, documents)
    table = text_table(texts, tokens, corpus.slug, documents.kinds if documents else None)
    if (counted := int(table.counted.sum())) != statistics.tokens:
        return {
            "why_not": f"The statistics counted {statistics.tokens:,} tokens; read with the tokenizer that is there "
            f"now, the same rows have {counted:,}. Recompute them."
        }
    found = descriptions(kept, table, progress)
    for first in range(0, len(found), BATCH):
        with transaction.atomic():
            check()
            Statistics.objects.select_for_update().get(pk=statistics.pk)  # who replaces rows waits
            _write(statistics, range(first, min(first + BATCH, len(found))), found, kept.counts, vocabulary)
    return _summary(found, kept.counts)


def _write(statistics, indices: range, found: Sequence, counts, vocabulary: Vocabulary) -> None:
    features = Feature.objects.filter(statistics=statistics, index__range=(indices[0], indices[-1]))
    features = list(features.only("pk", "index", "flags", "description_f1"))
    boosted = dict(FeatureSearch.objects.filter(feature__in=features).values_list("feature_id", "boosted"))
    rows = []
    for feature in features:
        one, rare = found[feature.index], counts[feature.index] < LEAST_ACTIVATIONS
        flag = FeatureFlag.TOO_RARE_TO_DESCRIBE * bool(counts[feature.index] and rare)
        flag |= FeatureFlag.NO_SIMPLE_PATTERN * (not rare and not (one and one.is_simple))
        feature.flags = ((feature.flags or 0) & ~OURS) | flag
        feature.description_f1 = one.f1 if one else None
        if counts[feature.index]:
            tokens = FeatureSearch.ids(bytes(boosted.get(feature.pk, b"")))[:BOOSTED].tolist()
            rows.append(_row(feature, one, rare, [vocabulary.label(token) for token in tokens]))
    Feature.objects.bulk_update(features, ["flags", "description_f1"])
    FeatureDescription.objects.filter(feature__in=features).delete()
    FeatureDescription.objects.bulk_create(rows)


def _row(feature: Feature, one, rare: bool, boosted: list[str]) -> FeatureDescription:
    words = TOO_RARE if rare else one.words if one and one.is_simple else NO_PATTERN
    line = words + ("; boosts " + ", ".join(f"“{shown(token)}”" for token in boosted) if boosted else "")
    row = FeatureDescription(feature=feature, line=line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…")
    if one:
        row.pattern, row.chosen_f1 = one.pattern, one.chosen_f1
        row.active, row.held, row.hits = one.active, one.held, one.hits
    return row


def _summary(found: Sequence, counts: np.ndarray) -> dict:
    f1 = np.array(
        [one.f1 if one else 0.0 for one, count in zip(found, counts, strict=True) if count >= LEAST_ACTIVATIONS]
    )
    reached = [(least, int((f1 >= least).sum())) for least in (LEAST_F1, 0.5, 0.8)]
    return {
        "looked_at": len(f1),
        "too_rare": int(((counts > 0) & (counts < LEAST_ACTIVATIONS)).sum()),
        "reached": reached,
    }


def described(feature: Feature) -> dict | None:
    """What a page shows of a feature (of one `with_payloads`, no query); None where nothing was looked for."""
    row = getattr(feature, "described", None)
    if row is None:
        return None
    why_not = {FeatureFlag.TOO_RARE_TO_DESCRIBE: TOO_RARE, FeatureFlag.NO_SIMPLE_PATTERN: NO_PATTERN}
    return {
        "line": row.line,
        "pattern": row.pattern,
        "f1": feature.description_f1,
        "precision": row.hits / row.active if row.active else None,
        "recall": row.hits / row.held if row.held else None,
        "chosen_f1": row.chosen_f1,
        "counts": {"active": row.active, "held": row.held, "hits": row.hits},
        "why_not": next((words for flag, words in why_not.items() if feature.has(flag)), ""),
        "by": BY,
    }
