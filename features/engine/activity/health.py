"""Is a dictionary healthy? All figures of it: of its weights, and of where its features are strongest."""

from dataclasses import replace

from ..corpus.token_rows import counted_tokens
from ..results import Health
from ..store.active_entries import ActiveEntries
from ..subject import Subject
from ..weights import health as weights
from . import strongest
from .top_examples import TokenLayout


def health(subject: Subject, entries: ActiveEntries, layout: TokenLayout) -> Health:
    """Of a pass over the rows of `layout`."""
    special = subject.vocabulary.special
    counted = counted_tokens(layout.rows, special)
    drawn = strongest.drawn_rows(layout.rows, special)
    found = strongest.strongest(entries, layout, drawn)
    return replace(
        weights.of_weights(subject.sae, entries, int(counted.sum())),
        sampled_tokens=int(counted[drawn].sum()),
        sampled_alive=len(set(found.features.tolist())),
        swarm=len(strongest.swarm(found)),
        agree=len(strongest.agreeing(found, layout)),
    )
