"""What is asked of the kept activations, and where does the pattern hold? The text and the last answers are kept."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from urllib.parse import urlencode

import numpy as np
from django.http import QueryDict

from ..engine.ask.grammar import parse
from ..engine.ask.holds import Question
from ..engine.ask.row_text import RowText, TokenBytes, row_texts
from ..engine.ask.scores import METRICS
from ..engine.ask.thresholds import Threshold
from ..engine.store.kept_entries import KeptEntries
from ..models import SAE, Corpus
from ..storage.kept_activations import NothingKept
from ..storage.readers import documents_of, rows_of, vocabulary_of

MOST_IN_MEMORY = 1 << 22  # tokens whose text is kept for the next question, about 100 MB; of more it is made anew
LONG = 1 << 21  # tokens from which on a pattern may take more than a second or two: pages show how far it is
REMEMBERED = 8  # patterns, a byte a token each


@dataclass(frozen=True)
class Asked:
    """A pattern, from which activation on a feature is active, what features are ranked by, whose text is read."""

    pattern: str = ""
    threshold: Threshold = Threshold()
    metric: str = METRICS[0]
    feature: int | None = None  # None: the best

    @classmethod
    def from_query(cls, query: QueryDict) -> "Asked":
        """Of a request's GET. Raises ValueError where `from` is no threshold; other things read as the default."""
        feature, metric = query.get("feature", ""), query.get("by", "")
        return cls(
            pattern=query.get("q", "").replace("\0", "").strip(),
            threshold=Threshold.read(query.get("from", "")[:100]),
            metric=metric if metric in METRICS else METRICS[0],
            feature=int(feature) if feature.isdecimal() and len(feature) < 10 else None,
        )

    def query(self, **changes) -> str:
        """As a query string."""
        asked = replace(self, **changes)
        values = {"q": asked.pattern, "from": str(asked.threshold), "by": asked.metric, "feature": asked.feature}
        usual = {"from": "any", "by": METRICS[0], "feature": None}
        return "?" + urlencode({name: v for name, v in values.items() if name not in usual or v != usual[name]})


@dataclass(frozen=True)
class Held:
    """Where a pattern holds in the rows that activations are kept of."""

    tokens: np.ndarray  # [tokens] bool
    counted: int  # tokens that are not special


_found: OrderedDict[tuple, Held] = OrderedDict()  # the last answers, by all that they depend on


def held_by(sae: SAE, kept: KeptEntries, pattern: str) -> Held:
    """Raises PatternError, NothingKept, or CorpusError and OSError where the text is gone."""
    for _ in look_for(sae, kept, pattern):
        pass
    held = _found.get(_key(sae, kept, pattern)) or held_by(sae, kept, pattern)  # others may have asked much meanwhile
    if held.counted != sae.statistics.tokens:
        raise NothingKept(
            f"The statistics counted {sae.statistics.tokens:,} tokens; read with the tokenizer that is there now, the "
            f"same rows have {held.counted:,}. Recompute them."
        )
    return held


def look_for(sae: SAE, kept: KeptEntries, pattern: str) -> Iterator[int]:
    """Looks for the pattern block by block, and says after each how many tokens are done; then `held_by` knows. Who
    asks no more for the next block has stopped it. Raises what `held_by` does."""
    key, corpus = _key(sae, kept, pattern), sae.statistics.corpus
    if key in _found:
        return
    parsed, table = parse(pattern), documents_of(corpus)
    question = Question(parsed, _token_bytes(sae.model_path), pattern, corpus.slug, table.kinds if table else None)
    tokens, counted, done = np.zeros(kept.tokens, bool), 0, 0
    for text in _texts(sae.model_path, corpus, kept.tokens):
        tokens[done : done + len(text)] = question.holds(text)
        counted, done = counted + int(text.counted.sum()), done + len(text)
        yield done
    _found[key] = Held(tokens, counted)
    while len(_found) > REMEMBERED:
        _found.popitem(last=False)


def _key(sae: SAE, kept: KeptEntries, pattern: str) -> tuple:
    corpus = sae.statistics.corpus
    return sae.model_path, corpus.slug, corpus.path, corpus.sha256, kept.tokens, pattern


@lru_cache(maxsize=2)
def _token_bytes(model_path: str) -> TokenBytes:
    return TokenBytes(vocabulary_of(SAE(model_path=model_path)))


def _texts(model_path: str, corpus: Corpus, tokens: int) -> Iterator[RowText]:
    """The text of the corpus' first tokens, block by block: remembered as it is made, unless there is too much."""
    key, made = (model_path, corpus.path, corpus.sha256, tokens), []
    if key in _in_memory:
        yield from _in_memory[key]
        return
    rows = rows_of(corpus)[: tokens // (corpus.row_length - corpus.bos)]
    for text in row_texts(rows, int(corpus.bos), _token_bytes(model_path), documents_of(corpus)):
        if tokens <= MOST_IN_MEMORY:
            made.append(text)
        yield text
    if tokens <= MOST_IN_MEMORY:
        _in_memory[key] = made
        while len(_in_memory) > 2:
            _in_memory.popitem(last=False)


_in_memory: OrderedDict[tuple, list[RowText]] = OrderedDict()  # of two corpora
