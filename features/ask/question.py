"""What is asked of the kept activations, and where does the pattern hold? The text and the last answers are kept."""

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


def held_by(sae: SAE, kept: KeptEntries, pattern: str) -> Held:
    """Raises PatternError, NothingKept, or CorpusError and OSError where the text is gone."""
    corpus = sae.statistics.corpus
    held = _held(sae.model_path, corpus.pk, corpus.sha256, kept.tokens, pattern)
    if held.counted != sae.statistics.tokens:
        raise NothingKept(
            f"The statistics counted {sae.statistics.tokens:,} tokens; read with the tokenizer that is there now, the "
            f"same rows have {held.counted:,}. Recompute them."
        )
    return held


@lru_cache(maxsize=8)
def _held(model_path: str, corpus: int, sha256: str, tokens: int, pattern: str) -> Held:
    corpus = Corpus.objects.get(pk=corpus)
    parsed, table = parse(pattern), documents_of(corpus)
    question = Question(parsed, _token_bytes(model_path), pattern, corpus.slug, table.kinds if table else None)
    found = [(question.holds(text), int(text.counted.sum())) for text in _texts(model_path, corpus, tokens)]
    return Held(np.concatenate([holds for holds, _ in found]), sum(counted for _, counted in found))


@lru_cache(maxsize=2)
def _token_bytes(model_path: str) -> TokenBytes:
    return TokenBytes(vocabulary_of(SAE(model_path=model_path)))


def _texts(model_path: str, corpus: Corpus, tokens: int):
    if tokens <= MOST_IN_MEMORY:
        return _texts_in_memory(model_path, corpus.pk, corpus.sha256, tokens)
    return _read_texts(model_path, corpus, tokens)


@lru_cache(maxsize=2)
def _texts_in_memory(model_path: str, corpus: int, sha256: str, tokens: int) -> list[RowText]:
    return list(_read_texts(model_path, Corpus.objects.get(pk=corpus), tokens))


def _read_texts(model_path: str, corpus: Corpus, tokens: int):
    rows = rows_of(corpus)[: tokens // (corpus.row_length - corpus.bos)]
    return row_texts(rows, int(corpus.bos), _token_bytes(model_path), documents_of(corpus))
