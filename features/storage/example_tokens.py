"""On which tokens do the examples of all features stand? In a narrow row each, for the search of the table.

Sets of earlier versions have no such rows: workers fill them a batch at a time, each in one transaction, so that it can
be interrupted anywhere and go on later; until then these features are read from their payloads.
"""

import logging

import numpy as np
from django.db import transaction

from ..engine.results import Examples
from ..models import Corpus, Feature, FeatureExamples, Statistics
from .payload import unpack_part

log = logging.getLogger(__name__)

BATCH = 200


def tokens_of(examples: Examples, corpus: Corpus) -> np.ndarray:
    """Numbers of the tokens in all groups, each once, in however many groups (top, random, an interval). [n] uint32

    Numbered row by row, a BOS in front of each left out: `as_kept` has the numbers of kept activations.
    """
    width = corpus.row_length - corpus.bos
    numbers = [group.rows.astype(np.int64) * width + group.positions - corpus.bos for group in examples.groups]
    return np.unique(np.concatenate([np.zeros(0, np.int64), *numbers])).astype(np.uint32)


def as_kept(tokens: np.ndarray, corpus: Corpus) -> np.ndarray:
    """The same tokens numbered as kept activations are, which leave out the positions that the corpus skips behind a
    BOS, too. [n] -> [n] int64"""
    rows, positions = np.divmod(tokens.astype(np.int64), corpus.row_length - corpus.bos)
    return rows * (corpus.row_length - corpus.first) + positions - corpus.skipped


def tokens_of_one(feature: Feature, corpus: Corpus) -> np.ndarray:
    """Of a row read with its payload, as kept activations are numbered. [n] int64. Raises ValueError where that
    cannot be read."""
    return as_kept(tokens_of(unpack_part(feature.payload, "examples"), corpus), corpus)


def example_tokens_of(statistics: Statistics) -> tuple[np.ndarray, np.ndarray]:
    """Feature and token of every example, as kept activations are numbered. [n] int64 each. Raises ValueError
    where a payload that has to be read cannot be."""
    alive = Feature.objects.filter(statistics=statistics).alive()
    packed = list(alive.filter(example_tokens__isnull=False).values_list("index", "example_tokens__tokens"))
    pairs = [(index, np.frombuffer(tokens, np.uint32)) for index, tokens in packed]
    left = alive.filter(example_tokens__isnull=True).stored_values("payload", "index")
    for index, payload in left.iterator():
        pairs.append((index, tokens_of(unpack_part(payload, "examples"), statistics.corpus)))
    features = np.repeat(np.array([index for index, _ in pairs], np.int64), [len(tokens) for _, tokens in pairs])
    tokens = np.concatenate([np.zeros(0, np.int64), *(tokens for _, tokens in pairs)])
    return features, as_kept(tokens, statistics.corpus)


# Filled


def unfilled():
    return Feature.objects.alive().filter(example_tokens__isnull=True)


def fill_all() -> None:
    """What is left, the oldest first; a payload that cannot be read is passed over."""
    last = 0
    while filled := fill_batch(after=last):
        last = filled[-1]


def fill_batch(after: int = 0) -> list[int]:
    """Fill some features whose ids are larger than `after`; returns their ids, ascending."""
    rows = []
    with transaction.atomic():
        features = unfilled().select_related("statistics__corpus").with_payloads().filter(pk__gt=after).order_by("pk")
        batch = list(features[:BATCH])
        for feature in batch:
            try:
                examples = unpack_part(feature.payload, "examples")
            except ValueError as problem:
                log.warning("The examples of %s of %s cannot be read: %s", feature, feature.statistics, problem)
                continue
            tokens = tokens_of(examples, feature.statistics.corpus)
            rows.append(FeatureExamples(feature=feature, tokens=tokens.tobytes()))
        FeatureExamples.objects.bulk_create(rows, ignore_conflicts=True)  # another worker may have been here
    return [feature.pk for feature in batch]
