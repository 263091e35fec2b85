"""In how many of a feature's examples does a text stand? For the search of the table, by a pattern over the corpus."""

import numpy as np

from ..engine.results import SHORT_CONTEXT
from ..models import SAE
from ..storage.example_tokens import example_tokens_of
from .held import held_within

BEFORE, AFTER = SHORT_CONTEXT


def count_examples_with(sae: SAE, text: str) -> dict[int, int]:
    """Feature -> how many of its examples have the text, upper and lower case alike, in their short context. An example
    is a token: each counts once, in however many groups it is shown.

    Features without any are left out. Raises ValueError, zlib.error or OSError where examples or corpus cannot be read.
    """
    statistics = sae.statistics
    if statistics is None:
        return {}
    features, tokens = example_tokens_of(statistics)
    if not len(tokens):
        return {}
    width = statistics.corpus.row_length - statistics.corpus.bos
    # Whole rows up to the last one that has an example.
    held = held_within(statistics, (int(tokens.max()) // width + 1) * width, pattern_of(text))
    found, counts = np.unique(features[held.tokens[tokens]], return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def pattern_of(text: str) -> str:
    """The pattern that holds where a match of these very characters, in capitals or not, ends in the context."""
    # By their codes, so that none of them means anything to the expression or to the pattern around it.
    characters = "".join(c if c.isascii() and c.isalnum() else f"\\x{{{ord(c):x}}}" for c in text)
    return f"/{characters}/i or after(/{characters}/i, {BEFORE}) or before(/{characters}/i, {AFTER})"
