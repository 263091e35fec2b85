"""Among whose ten most boosted (or suppressed) tokens is a text, and at which rank?"""

from functools import lru_cache

import numpy as np
from django.db.models import Max

from ..engine.model.vocabulary import Vocabulary
from ..models import SAE, FeatureSearch
from ..storage.readers import vocabulary_of

NO_TOKEN = -1


def ranks(sae: SAE, text: str, which: str, exact: bool) -> dict[int, int]:
    """Feature -> the best rank, from 1 on, of a token with the text; `which`: "boosted" or "suppressed".

    Raises ValueError or OSError where the vocabulary cannot be read, ValueError where nothing is indexed yet.
    """
    newest = FeatureSearch.objects.filter(feature__statistics=sae.statistics_id).aggregate(newest=Max("pk"))["newest"]
    if newest is None:
        raise ValueError("these statistics are of an earlier version; a worker indexes their tokens when it starts")
    indices, tokens = _tokens(sae.statistics_id, newest, which)  # [n], [n, 10]
    sought = np.array(_ids(vocabulary_of(sae), text, exact), np.int64)
    found = np.isin(tokens, sought)  # [n, 10]
    features = np.flatnonzero(found.any(axis=1))
    return dict(zip(indices[features].tolist(), (found[features].argmax(axis=1) + 1).tolist(), strict=True))


@lru_cache(maxsize=8)
def _tokens(statistics: int, newest: int, which: str) -> tuple[np.ndarray, np.ndarray]:
    """Of all features [n]: their indices, and the ids of their tokens [n, 10], NO_TOKEN where there are fewer."""
    rows = list(FeatureSearch.objects.filter(feature__statistics=statistics).values_list("feature__index", which))
    packed = [FeatureSearch.ids(bytes(ids)) for _, ids in rows]
    tokens = np.full((len(rows), max(map(len, packed), default=0)), NO_TOKEN, np.int32)
    for row, ids in enumerate(packed):
        tokens[row, : len(ids)] = ids
    return np.array([index for index, _ in rows], np.int64), tokens


@lru_cache(maxsize=256)
def _ids(vocabulary: Vocabulary, text: str, exact: bool) -> list[int]:
    """Of tokens that are the text, or have it in them, capitals or not."""
    if exact:
        return [id for id in range(vocabulary.size) if vocabulary.label(id) == text]
    sought = text.casefold()
    return [id for id in range(vocabulary.size) if sought in vocabulary.label(id).casefold()]
