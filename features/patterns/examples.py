"""In how many of a feature's examples does a text stand? For the search of the table."""

import numpy as np

from ..engine.ask.pattern import Regex
from ..engine.results import SHORT_CONTEXT
from ..models import SAE
from ..storage.example_tokens import example_tokens_of
from .held import matches_within

BEFORE, AFTER = SHORT_CONTEXT


def count_examples_with(sae: SAE, text: str) -> dict[int, int]:
    """Feature -> how many of its examples have the text, upper and lower case alike, in their short context. An example
    is a token: each counts once, in however many groups it is shown.

    Features without any are left out. Raises ValueError or OSError where examples or corpus cannot be read.
    """
    statistics = sae.statistics
    if statistics is None:
        return {}
    features, tokens = example_tokens_of(statistics)
    if not len(tokens):
        return {}
    width = statistics.corpus.row_length - statistics.corpus.first
    # Whole rows up to the last one that has an example.
    firsts, lasts = matches_within(statistics, (int(tokens.max()) // width + 1) * width, expression(text))  # [m] tokens
    # A context reaches BEFORE tokens back and AFTER on within its row: it holds a match where its example stands from
    # AFTER in front of the match's last token to BEFORE behind its first.
    row = firsts // width * width  # [m] first token of each one's row
    near = np.zeros((int(tokens.max()) // width + 1) * width + 1, np.int32)
    low, high = np.maximum(lasts - AFTER, row), np.minimum(firsts + BEFORE, row + width - 1)
    # +1 where such a stretch begins, -1 behind its end: their running sum is how many matches a token has near it.
    np.add.at(near, low[low <= high], 1)
    np.add.at(near, high[low <= high] + 1, -1)
    found, counts = np.unique(features[near.cumsum()[tokens] > 0], return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def expression(text: str) -> Regex:
    """What matches these very characters, in capitals or not."""
    # By their codes, so that none of them means anything to RE2.
    return Regex(0, "(?i)" + "".join(c if c.isascii() and c.isalnum() else f"\\x{{{ord(c):x}}}" for c in text))
