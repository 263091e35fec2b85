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


def health(subject: Subject, entries: ActiveEntries, layout: TokenLayout) -> Health:
    """Of a pass over the rows of `layout`."""
    return health_and_encoders(subject, entries, layout)[0]


def health_and_encoders(subject: Subject, entries: ActiveEntries, layout: TokenLayout) -> tuple[Health, Encoders]:
    """Of a pass over the rows of `layout`: of the dictionary, and of each feature's encoder."""
    special = subject.vocabulary.special
    counted = counted_tokens(layout.rows, special)
    drawn = strongest.drawn_rows(layout.rows, special)
    found = strongest.strongest(entries, layout, drawn)
    swarm = strongest.swarm(found)
    figures = replace(
        weights.of_weights(subject.sae, entries, int(counted.sum())),
        sampled_tokens=int(counted[drawn].sum()),
        sampled_alive=len(set(found.features.tolist())),
        swarm=len(swarm),
        agree=len(strongest.agreeing(found, layout)),
    )
    return figures, weights.encoders(subject.sae, np.flatnonzero(entries.counts), swarm)
