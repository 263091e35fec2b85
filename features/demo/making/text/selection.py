"""Which documents are trained on? Each once, and none of which the site shows a passage.

An SAE's examples would show what the model has learnt by heart, not what it makes of text, if it had been trained on
the text that the site shows.
"""

from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from itertools import islice

import numpy as np

from features.engine.model.vocabulary import Vocabulary

from . import overlap

BATCH = 512  # documents tokenised at a time


@dataclass
class Source:
    """What one source gave."""

    documents: int = 0
    characters: int = 0
    repeats: int = 0  # documents left out because the same text came before
    shown: int = 0  # documents left out because the site shows a passage of them
    kept_characters: int = 0


@dataclass
class Selection:
    """Documents to train on as token ids [n] uint16, and what each source gave, the largest first."""

    documents: list[np.ndarray]
    sources: dict[str, Source]

    def table(self) -> dict[str, list[int]]:
        """For a JSON file: source -> the fields of Source."""
        return {name: list(astuple(source)) for name, source in self.sources.items()}


def select(documents: Iterable[tuple[str, str]], shown: Iterable[str], vocabulary: Vocabulary) -> Selection:
    """Of (source, text) those whose text did not come before, and that share no overlap.WINDOW tokens in a row with a
    shown text."""
    known = overlap.known_passages(token_ids(shown, vocabulary))
    sources: dict[str, Source] = {}
    chosen = []
    for batch in batches(once(documents, sources)):
        for (name, text), ids in zip(batch, vocabulary.many_ids([text for _, text in batch]), strict=True):
            if overlap.shares_passage(ids, known):
                sources[name].shown += 1
            else:
                sources[name].kept_characters += len(text)
                chosen.append(np.array(ids, np.uint16))
    return Selection(chosen, dict(sorted(sources.items(), key=lambda item: -item[1].characters)))


def once(documents: Iterable[tuple[str, str]], sources: dict[str, Source]) -> Iterator[tuple[str, str]]:
    """Each text the first time it comes, blanks around it aside; counts them in `sources`."""
    seen = set()
    for name, text in documents:
        source, key = sources.setdefault(name, Source()), hash(text.strip())
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
