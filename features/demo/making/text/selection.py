"""Which text is trained on? Each document once, less every passage that the site shows.

An SAE's examples would show what the model has learnt by heart, not what it makes of text, if it had been trained on
the text that the site shows. A document that is shown for the most part is left out. Of the others the shown passages
are cut out: whole documents would be most of all code, manuals and novels, as licences, boilerplate and excerpts are
in common to nearly all of them.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import astuple, dataclass
from itertools import islice

import numpy as np

from features.engine.model.vocabulary import Vocabulary

from . import overlap

BATCH = 512  # documents tokenised at a time
SHOWN = 0.5  # share of a document's tokens in shown passages from which on all of it is left out


@dataclass
class TextSource:
    """What one source gave."""

    documents: int = 0
    characters: int = 0
    repeats: int = 0  # documents left out because the same text came before
    shown: int = 0  # documents left out because the site shows most of them
    tokens: int = 0  # of the documents that are no repeats
    kept: int = 0  # of these tokens, after shown documents and passages are left out


@dataclass
class Selection:
    """Documents to train on as token ids [n] uint16, and what each source gave, the largest first."""

    documents: list[np.ndarray]
    sources: dict[str, TextSource]

    def table(self) -> dict[str, list[int]]:
        """For a JSON file: source -> the fields of Source."""
        return {name: list(astuple(source)) for name, source in self.sources.items()}


def less(documents: list[tuple[str, str]], without: Collection[str]) -> list[tuple[str, str]]:
    """The (source, text) whose source is not named. Raises ValueError where a name is none of theirs."""
    have = {source for source, _ in documents}
    if unknown := sorted(set(without) - have):
        raise ValueError(f"The corpus has no source {unknown[0]}; it has {', '.join(sorted(have))}.")
    return [(source, text) for source, text in documents if source not in without]


def select(documents: Iterable[tuple[str, str]], shown: Iterable[str], vocabulary: Vocabulary) -> Selection:
    """Of (source, text) those whose text did not come before, without what shares overlap.WINDOW tokens in a row with a
    shown text."""
    known = overlap.known_passages(token_ids(shown, vocabulary))
    sources: dict[str, TextSource] = {}
    chosen = []
    for batch in batches(once(documents, sources)):
        names, texts = zip(*batch, strict=True)
        for name, ids in zip(names, vocabulary.many_ids(list(texts)), strict=True):
            whole, source = np.array(ids, np.uint16), sources[name]
            kept = overlap.without(whole, known)
            source.tokens += len(whole)
            if len(kept) > SHOWN * len(whole):
                source.kept += len(kept)
                chosen.append(kept)
            else:
                source.shown += 1
    return Selection(chosen, dict(sorted(sources.items(), key=lambda item: -item[1].characters)))


def once(documents: Iterable[tuple[str, str]], sources: dict[str, TextSource]) -> Iterator[tuple[str, str]]:
    """Each text the first time it comes, blanks around it aside; counts them in `sources`."""
    seen = set()
    for name, text in documents:
        source, key = sources.setdefault(name, TextSource()), hash(text.strip())
        source.documents += 1
        source.characters += len(text)
        source.repeats += key in seen
        if key not in seen:
            seen.add(key)
            yield name, text


def token_ids(texts: Iterable[str], vocabulary: Vocabulary) -> Iterator[list[int]]:
    """Of each text."""
    for batch in batches(texts):
        yield from vocabulary.many_ids(batch)


def batches(items: Iterable) -> Iterator[list]:
    """BATCH of them at a time."""
    remaining = iter(items)
    while batch := list(islice(remaining, BATCH)):
        yield batch
