"""In how many of a feature's stored examples does a text stand? For the search of the table.

A search index per set of statistics, made at the first search (a second or two for some thousand features) and kept
by the process: the text of every corpus row that has an example, and where in it the examples lie.
"""

import re
import threading
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from django.db.models import Max

from ..engine.model.vocabulary import CONTINUED, Vocabulary
from ..engine.results import SHORT_CONTEXT, Examples
from ..models import SAE, Feature
from ..storage.payload import unpack_part
from ..storage.readers import rows_of, vocabulary_of

BEFORE, AFTER = SHORT_CONTEXT
END_OF_ROW = "\0"  # no search holds it, so that nothing is found across two rows
KEPT_SEARCHES = 256
_one_at_a_time = threading.Lock()


def count_examples_with(sae: SAE, text: str) -> dict[int, int]:
    """Feature -> how many of its examples have the text, upper and lower case alike, in their short context. An example
    is a token: each counts once, in however many groups it is shown.

    Features without any are left out. Raises ValueError, zlib.error or OSError where examples or corpus cannot be read.
    """
    newest = Feature.objects.shown_of(sae).aggregate(newest=Max("pk"))["newest"]  # another after a recomputation
    return _counts(sae.statistics_id, newest, text.lower())


@lru_cache(maxsize=KEPT_SEARCHES)
def _counts(statistics: int, newest: int | None, text: str) -> dict[int, int]:
    with _one_at_a_time:  # requests that come while a search index is made wait for it
        search_index = _search_index(statistics, newest)
    return search_index.count_examples_with(text)


@lru_cache(maxsize=4)
def _search_index(statistics: int, newest: int | None) -> "SearchIndex":
    sae = SAE.objects.for_pages().get(statistics_id=statistics)
    stored = Feature.objects.shown_of(sae).alive().stored_values("payload", "index")
    examples = [(feature, *_positions(unpack_part(payload, "examples"))) for feature, payload in stored.iterator()]
    return SearchIndex.of(examples, rows_of(sae.statistics.corpus), vocabulary_of(sae))


def _positions(examples: Examples) -> tuple[np.ndarray, np.ndarray]:
    """Rows and positions of all groups: a token that stands in several of them (top, random, an interval) is one
    example."""
    rows, positions = ([getattr(group, name) for group in examples.groups] for name in ("rows", "positions"))
    places = np.unique(np.stack([np.concatenate(rows), np.concatenate(positions)]).astype(np.int64), axis=1)
    return places[0], places[1]


@dataclass(frozen=True)
class SearchIndex:
    """Rows that have examples, as one text; token t of it is position t % length of its row."""

    text: str
    ends: np.ndarray  # [tokens] where in the text each token ends
    length: int  # tokens of a row
    tokens: np.ndarray  # [examples] of the text, ascending
    features: np.ndarray  # [examples] whose they are

    @classmethod
    def of(cls, examples: list, corpus: np.ndarray, vocabulary: Vocabulary) -> "SearchIndex":
        """From (feature, rows [n], positions [n]) of each feature; `corpus` [rows, length] token ids."""
        features = np.repeat([feature for feature, *_ in examples], [len(rows) for _, rows, _ in examples])
        rows = np.concatenate([np.empty(0, np.int64), *(rows for _, rows, _ in examples)])  # [examples]
        positions = np.concatenate([np.empty(0, np.int64), *(positions for *_, positions in examples)])  # [examples]
        # Rows without an example are left out: the n-th of the others begins at token n * length of the text.
        rows_of_text, numbers = np.unique(rows, return_inverse=True)
        tokens = numbers * corpus.shape[1] + positions  # [examples]
        order = np.argsort(tokens, kind="stable")
        pieces = [piece for row in rows_of_text.tolist() for piece in _lower(corpus[row].tolist(), vocabulary)]
        ends = np.cumsum([len(piece) for piece in pieces], dtype=np.int64)  # [tokens]
        return cls("".join(pieces), ends, corpus.shape[1], tokens[order], features[order].astype(np.int64))

    def count_examples_with(self, text: str) -> dict[int, int]:
        """Feature -> its examples whose window holds the whole text."""
        starts = np.array([match.start() for match in re.finditer(re.escape(text), self.text)], dtype=np.int64)  # [m]
        first = np.searchsorted(self.ends, starts, side="right")  # [m] token in which each match begins
        last = np.searchsorted(self.ends, starts + len(text) - 1, side="right")  # [m] token in which it ends
        row = first // self.length * self.length  # [m] first token of its row
        # A window reaches BEFORE tokens back and AFTER on: it holds a match if its token is from last - AFTER to
        # first + BEFORE. The examples there are those from `low` to `high`, as they ascend.
        low = np.searchsorted(self.tokens, np.maximum(last - AFTER, row))  # [m]
        high = np.searchsorted(self.tokens, np.minimum(first + BEFORE, row + self.length - 1), side="right")  # [m]
        # +1 where such a stretch begins, -1 where it ends: their running sum is how many matches an example has.
        changes = np.zeros(len(self.tokens) + 1, np.int64)
        np.add.at(changes, low, 1)
        np.add.at(changes, np.maximum(low, high), -1)
        matches = changes.cumsum()[:-1]  # [examples]
        features, counts = np.unique(self.features[matches > 0], return_counts=True)
        return dict(zip(features.tolist(), counts.tolist(), strict=True))


def _lower(ids: list[int], vocabulary: Vocabulary) -> list[str]:
    """The pieces of a row in lower case. Special tokens are no text, nor are marks of a character that goes on."""
    pieces = [
        "" if id in vocabulary.special or piece == CONTINUED else piece.lower().replace(END_OF_ROW, " ")
        for id, piece in zip(ids, vocabulary.pieces(ids), strict=True)
    ]
    pieces[-1] += END_OF_ROW
    return pieces
