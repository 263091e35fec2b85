"""In how many of a feature's stored examples does a text stand? For the search of the table.

An index per set of statistics, made at the first search (a second or two for some thousand features) and kept
by the process: the text of every corpus row that has an example, and where in it the examples lie.
"""

import re
import threading
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from django.db.models import Max

from ..engine.model.vocabulary import CONTINUED
from ..engine.results import SHORT_CONTEXT, Examples
from ..models import SAE, Feature
from ..storage.payload import unpack_part
from ..storage.readers import rows_of, vocabulary_of

BEFORE, AFTER = SHORT_CONTEXT
END_OF_ROW = "\0"  # no search holds it, so that nothing is found across two rows
KEPT_SEARCHES = 256
_one_at_a_time = threading.Lock()


def examples_with(sae: SAE, text: str) -> dict[int, int]:
    """Feature -> how many of its examples have the text, upper and lower case alike, in their short context.

    Features without any are left out. Raises ValueError or OSError where examples or corpus cannot be read.
    """
    newest = Feature.objects.shown_of(sae).aggregate(newest=Max("pk"))["newest"]  # another after a recomputation
    return _found(sae.statistics_id, newest, text.lower())


@lru_cache(maxsize=KEPT_SEARCHES)
def _found(statistics: int, newest: int | None, text: str) -> dict[int, int]:
    with _one_at_a_time:  # requests that come while an index is made wait for it
        index = _index(statistics, newest)
    return index.examples_with(text)


@lru_cache(maxsize=4)
def _index(statistics: int, newest: int | None) -> "Index":
    sae = SAE.objects.for_pages().get(statistics_id=statistics)
    stored = Feature.objects.shown_of(sae).alive().stored_values("payload", "index")
    examples = [(feature, *_positions(unpack_part(payload, "examples"))) for feature, payload in stored.iterator()]
    return Index.of(examples, rows_of(sae.statistics.corpus), vocabulary_of(sae))


def _positions(examples: Examples) -> tuple[np.ndarray, np.ndarray]:
    """Rows and positions of all groups."""
    rows, positions = ([getattr(group, name) for group in examples.groups] for name in ("rows", "positions"))
    return np.concatenate(rows), np.concatenate(positions)


@dataclass(frozen=True)
class Index:
    """Rows that have examples, as one text; token t of it is position t % length of its row."""

    text: str
    ends: np.ndarray  # [tokens] where in the text each token ends
    length: int  # tokens of a row
    tokens: np.ndarray  # [examples] of the text, ascending
    features: np.ndarray  # [examples] whose they are

    @classmethod
    def of(cls, examples: list, corpus: np.ndarray, vocabulary) -> "Index":
        """From (feature, rows, positions) of each feature."""
        features = np.repeat([feature for feature, *_ in examples], [len(rows) for _, rows, _ in examples])
        rows = np.concatenate([np.empty(0, np.int64), *(rows for _, rows, _ in examples)])
        positions = np.concatenate([np.empty(0, np.int64), *(positions for *_, positions in examples)])
        read, places = np.unique(rows, return_inverse=True)
        tokens = places * corpus.shape[1] + positions
        order = np.argsort(tokens, kind="stable")
        pieces = [piece for row in read.tolist() for piece in _lower(corpus[row].tolist(), vocabulary)]
        ends = np.cumsum([len(piece) for piece in pieces], dtype=np.int64)
        return cls("".join(pieces), ends, corpus.shape[1], tokens[order], features[order].astype(np.int64))

    def examples_with(self, text: str) -> dict[int, int]:
        """Feature -> its examples whose window holds the whole text."""
        starts = np.array([found.start() for found in re.finditer(re.escape(text), self.text)], dtype=np.int64)
        first = np.searchsorted(self.ends, starts, side="right")
        last = np.searchsorted(self.ends, starts + len(text) - 1, side="right")
        row = first // self.length * self.length
        # The examples from `low` to `high` see the first token and the last one.
        low = np.searchsorted(self.tokens, np.maximum(last - AFTER, row))
        high = np.searchsorted(self.tokens, np.minimum(first + BEFORE, row + self.length - 1), side="right")
        seen = np.zeros(len(self.tokens) + 1, np.int64)
        np.add.at(seen, low, 1)
        np.add.at(seen, np.maximum(low, high), -1)
        features, counts = np.unique(self.features[seen.cumsum()[:-1] > 0], return_counts=True)
        return dict(zip(features.tolist(), counts.tolist(), strict=True))


def _lower(ids: list[int], vocabulary) -> list[str]:
    """The pieces of a row in lower case. Special tokens are no text, nor are marks of a character that goes on."""
    pieces = [
        "" if id in vocabulary.special or piece == CONTINUED else piece.lower().replace(END_OF_ROW, " ")
        for id, piece in zip(ids, vocabulary.pieces(ids), strict=True)
    ]
    pieces[-1] += END_OF_ROW
    return pieces
