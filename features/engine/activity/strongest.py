"""Do features fire most strongly on text of their own? Told by where each is strongest, on rows drawn from the corpus.

Features of a swarm have the same few positions as their strongest, whatever else they are; a feature that can be named
by a token has that token, or the one before, at most of them.
"""

from dataclasses import dataclass

import numpy as np

from ..corpus.token_rows import counted_tokens
from ..store.active_entries import ActiveEntries, Chunk
from .top_examples import TokenLayout

SAMPLED_TOKENS, SEED = 200_000, 0  # counted tokens that the drawn rows hold, and the draw
STRONGEST, AGREEING = 20, 10  # positions of a feature, one a row; so many of them with one token in common agree
SHARED = 5  # strongest positions at which others are met; a feature with fewer is in no swarm
OTHERS, SHARE_OF_OTHERS = (
    10,
    0.0025,
)  # met at a feature's strongest position: so many at least, or so many of those alive


@dataclass(frozen=True)
class Strongest:
    """The strongest position of each feature in each drawn row: feature by feature, strongest first, of equal ones the
    earlier one."""

    features: np.ndarray  # [n] int64
    tokens: np.ndarray  # [n] int64, as TokenLayout counts them

    @property
    def ranks(self) -> np.ndarray:
        """Of each among its feature's, from 0. [n]"""
        # Features ascend: the first place of its own number is where a feature's run begins.
        starts = np.searchsorted(self.features, self.features)
        return np.arange(len(self.features)) - starts


def drawn_rows(rows: np.ndarray, special: set[int], tokens: int = SAMPLED_TOKENS, seed: int = SEED) -> np.ndarray:
    """The first rows of a random order that hold so many counted tokens, or all; ascending. [n] int64"""
    order = np.random.default_rng(seed).permutation(len(rows))
    # Counted tokens of the first 1, 2, ... rows of the order: enough rows are taken to reach `tokens`.
    held = np.cumsum(counted_tokens(rows, special)[order])
    return np.sort(order[: int(np.searchsorted(held, tokens)) + 1])


def strongest(entries: ActiveEntries, layout: TokenLayout, drawn: np.ndarray) -> Strongest:
    """On the drawn rows [n], ascending."""
    firsts = drawn * layout.width  # their first tokens
    is_drawn = np.zeros(len(layout.rows), bool)
    is_drawn[drawn] = True
    parts = [_of_chunk(chunk, layout.width, is_drawn) for chunk in entries.chunks(firsts)]
    empty = [np.zeros((3, 0))] if not parts else []
    features, tokens, sizes = np.concatenate([*parts, *empty], axis=1)
    # lexsort sorts by its last key first: by feature, then from the largest size, then by token.
    order = np.lexsort((tokens, -sizes, features))
    return Strongest(features[order].astype(np.int64), tokens[order].astype(np.int64))


def _of_chunk(chunk: Chunk, width: int, is_drawn: np.ndarray) -> np.ndarray:
    """Feature, token and size of each feature's strongest entry in each drawn row of a chunk. [3, n] float64

    Entries of a chunk go feature by feature, tokens ascending: those of one feature in one row are neighbours.
    """
    tokens = chunk.first + chunk.tokens.astype(np.int64)
    kept = is_drawn[tokens // width]
    features = np.repeat(np.arange(len(chunk.counts)), chunk.counts)[kept]
    tokens, sizes = tokens[kept], np.abs(chunk.values[kept])
    if not len(tokens):
        return np.zeros((3, 0))
    # A group begins where the feature or the row is another than that of the entry before.
    begins = (np.diff(features, prepend=-1) != 0) | (np.diff(tokens // width, prepend=-1) != 0)
    group = np.cumsum(begins) - 1
    highest = np.flatnonzero(sizes == np.maximum.reduceat(sizes, np.flatnonzero(begins))[group])
    # Of equal ones in a group the first.
    best = highest[np.diff(group[highest], prepend=-1) > 0]
    return np.stack([features[best], tokens[best], sizes[best]]).astype(np.float64)


def swarm(found: Strongest) -> np.ndarray:
    """Features whose strongest position is among the SHARED strongest of many others. [n] int64"""
    alive = np.unique(found.features)
    ranks, counts = found.ranks, np.bincount(found.features)
    positions, met = np.unique(found.tokens[ranks < SHARED], return_counts=True)
    # One entry a feature, its strongest; features with fewer than SHARED positions are in no swarm.
    first = (counts[found.features] >= SHARED) & (ranks == 0)
    features, tokens = found.features[first], found.tokens[first]
    others = met[np.searchsorted(positions, tokens)] - 1  # less the feature itself
    return features[others >= max(OTHERS, SHARE_OF_OTHERS * len(alive))]


def agreeing(found: Strongest, layout: TokenLayout) -> np.ndarray:
    """Features of whose STRONGEST strongest positions AGREEING have the same token, or the same one before it. [n]"""
    top = found.ranks < STRONGEST
    features, tokens, ranks = found.features[top], found.tokens[top], found.ranks[top]
    rows, positions = layout.rows_and_positions(tokens)
    alive, place = np.unique(features, return_inverse=True)
    agree = np.zeros(len(alive), bool)
    for offset in (0, -1):
        # Ids of the strongest tokens themselves, then of the ones in front of them.
        columns = positions + offset
        ids = np.where(columns >= 0, layout.rows[rows, np.maximum(columns, 0)].astype(np.int64), -1)
        # -1 where there is no such position: it counts as no token.
        table = np.full((len(alive), STRONGEST), -1)
        table[place, ranks] = ids
        agree |= _commonest(table) >= AGREEING
    return alive[agree]


def _commonest(ids: np.ndarray) -> np.ndarray:
    """How often the commonest id of each row [n, m] stands in it, -1 aside. [n]"""
    # Each id of a row against each: the highest count of equals is that of the commonest.  [n, m, m]
    alike = (ids[:, :, None] == ids[:, None, :]) & (ids >= 0)[:, :, None]
    return alike.sum(2).max(1, initial=0)
