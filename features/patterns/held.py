"""Where does a pattern hold in the text that statistics were computed on? The text and the last answers are kept."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..engine.ask.grammar import parse
from ..engine.ask.holds import PatternQuestion
from ..engine.ask.pattern import Regex, Text
from ..engine.ask.row_text import RowText, TokenBytes, row_texts
from ..engine.ask.spans import spans
from ..engine.store.kept_entries import KeptEntries
from ..models import SAE, Corpus, Statistics
from ..storage.kept_activations import NothingKept
from ..storage.readers import documents_of, rows_of, vocabulary_of

MOST_IN_MEMORY = 1 << 22  # tokens whose text is kept for the next question, about 100 MB; of more it is made anew
REMEMBERED = 8  # patterns, a byte a token each


@dataclass(frozen=True)
class Held:
    """Where a pattern holds in the rows that activations are kept of."""

    tokens: np.ndarray  # [tokens] bool
    counted: int  # tokens that are not special


_found: OrderedDict[tuple, Held] = OrderedDict()  # the last answers, by all that they depend on


def held_by(statistics: Statistics, kept: KeptEntries, pattern: str) -> Held:
    """Raises PatternError, NothingKept, or CorpusError and OSError where the text is gone."""
    held = held_within(statistics, kept.tokens, pattern)
    if held.counted != statistics.tokens:
        raise NothingKept(
            f"The statistics counted {statistics.tokens:,} tokens; read with the tokenizer that is there now, the "
            f"same rows have {held.counted:,}. Recompute them."
        )
    return held


def held_within(statistics: Statistics, tokens: int, pattern: str) -> Held:
    """The same in the corpus' first tokens, whole rows of them, whatever is kept."""
    for _ in look_for(statistics, tokens, pattern):
        pass
    # Others may have asked much meanwhile.
    return _found.get(_key(statistics, tokens, pattern)) or held_within(statistics, tokens, pattern)


def look_for(statistics: Statistics, tokens: int, pattern: str) -> Iterator[int]:
    """Looks for the pattern block by block, and says after each how many tokens are done; then `held_by` knows. Who
    asks no more for the next block has stopped it. Raises what `held_by` does."""
    key, corpus, model_path = _key(statistics, tokens, pattern), statistics.corpus, statistics.sae.model_path
    if key in _found:
        return
    question = _question(statistics, pattern)
    holds, counted, done = np.zeros(tokens, bool), 0, 0
    for text in _texts(model_path, corpus, tokens):
        holds[done : done + len(text)] = question.holds(text)
        counted, done = counted + int(text.counted.sum()), done + len(text)
        yield done
    _found[key] = Held(holds, counted)
    while len(_found) > REMEMBERED:
        _found.popitem(last=False)


def matches_within(statistics: Statistics, tokens: int, part: Text | Regex) -> tuple[np.ndarray, np.ndarray]:
    """First and last token of every match in the corpus' first tokens. [matches] each, ascending."""
    found = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
    for text in _texts(statistics.sae.model_path, statistics.corpus, tokens):
        starts, ends = spans(part, text)
        found.append((text.first + text.token_of(starts), text.first + text.token_of(ends - 1)))
    firsts, lasts = (np.concatenate(part) for part in zip(*found, strict=True))
    return firsts, lasts


def _question(statistics: Statistics, pattern: str) -> PatternQuestion:
    corpus, table = statistics.corpus, documents_of(statistics.corpus)
    tokens = _token_bytes(statistics.sae.model_path)
    return PatternQuestion(parse(pattern), tokens, pattern, corpus.slug, table.kinds if table else None)


def _key(statistics: Statistics, tokens: int, pattern: str) -> tuple:
    corpus = statistics.corpus
    return statistics.sae.model_path, corpus.slug, corpus.path, corpus.sha256, corpus.first, tokens, pattern


@lru_cache(maxsize=2)
def _token_bytes(model_path: str) -> TokenBytes:
    return TokenBytes(vocabulary_of(SAE(model_path=model_path)))


def _texts(model_path: str, corpus: Corpus, tokens: int) -> Iterator[RowText]:
    """The text of the corpus' first tokens, block by block: remembered as it is made, unless there is too much."""
    key, made = (model_path, corpus.path, corpus.sha256, corpus.first, tokens), []
    if key in _in_memory:
        yield from _in_memory[key]
        return
    rows = rows_of(corpus)[: tokens // (corpus.row_length - corpus.first)]
    for text in row_texts(rows, corpus.first, _token_bytes(model_path), documents_of(corpus)):
        if tokens <= MOST_IN_MEMORY:
            made.append(text)
        yield text
    if tokens <= MOST_IN_MEMORY:
        _in_memory[key] = made
        while len(_in_memory) > 2:
            _in_memory.popitem(last=False)


_in_memory: OrderedDict[tuple, list[RowText]] = OrderedDict()  # of two corpora


def forget() -> None:
    """Text and answers take no memory any more: a worker that has tested its claims needs them no longer."""
    _found.clear()
    _in_memory.clear()
