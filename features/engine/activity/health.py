"""Is a dictionary healthy? All figures of it: of its weights, and of where its features are strongest."""

from dataclasses import replace

import numpy as np

from ..corpus.token_rows import counted_tokens
from ..results import Encoders, Health
from ..store.active_entries import ActiveEntries
from ..subject import Subject
from ..weights import health as weights
from . import strongest
from .top_examples import TokenLayout


def health(
    subject: Subject, entries: ActiveEntries, layout: TokenLayout, on_all_rows: strongest.Strongest | None = None
) -> Health:
    """Of a pass over the rows of `layout`; `on_all_rows`: what is strongest on all of them, where it is known."""
    return _health(_columns(subject, entries), subject, entries, layout, on_all_rows)[0]


def health_and_encoders(subject: Subject, entries: ActiveEntries, layout: TokenLayout) -> tuple[Health, Encoders]:
    """Of a pass over the rows of `layout`: of the dictionary, and of each feature's encoder."""
    columns = _columns(subject, entries)
    figures, swarm = _health(columns, subject, entries, layout)
    return figures, weights.encoders(columns, swarm)


def _columns(subject: Subject, entries: ActiveEntries) -> weights.EncoderColumns:
    return weights.EncoderColumns(subject.sae, np.flatnonzero(entries.counts))


def _health(columns, subject, entries, layout, on_all_rows=None) -> tuple[Health, np.ndarray]:
    """And which features are of a swarm. [n]"""
    special = subject.vocabulary.special
    counted = counted_tokens(layout.rows, special)
    drawn = strongest.drawn_rows(layout.rows, special)
    are_all = on_all_rows is not None and len(drawn) == len(layout.rows)
    found = on_all_rows if are_all else strongest.strongest(entries, layout, drawn)
    swarm = strongest.swarm(found)
    figures = replace(
        weights.of_weights(columns, entries, int(counted.sum())),
        sampled_tokens=int(counted[drawn].sum()),
        sampled_alive=len(set(found.features.tolist())),
        swarm=len(swarm),
        agree=len(strongest.agreeing(found, layout)),
    )
    return figures, swarm
