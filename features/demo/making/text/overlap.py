"""Which text says again what other text says? Told by runs of 16 tokens in common.

Language models are commonly kept from their test sets by n-grams (Brown et al., "Language models are few-shot
learners", 2020, appendix C: 13 words), and their text from repeats (Lee et al., "Deduplicating training data makes
language models better", 2022); here by runs of 16 tokens, compared by a polynomial hash (Karp and Rabin, 1987).
"""

from collections.abc import Iterable, Sequence

import numpy as np

WINDOW = 16  # tokens of a passage; shorter runs in common are idiom, not memory
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no token is lost modulo 2**64
REPEATED = 0.5  # from this share of its passages found in rows before it a row is a repeat


def training_rows(rows: np.ndarray, held_out: np.ndarray, seed: int = 0) -> np.ndarray:
    """Rows [n, length] without those that overlap held-out ones [m, length], shuffled."""
    kept = rows[~overlapping(rows, held_out)] if len(held_out) else rows
    return kept[np.random.default_rng(seed).permutation(len(kept))]


def overlapping(rows: np.ndarray, held_out: np.ndarray, window: int = WINDOW, batch: int = 20_000) -> np.ndarray:
    """Whether a row shares a passage of `window` tokens with a held-out row, wherever either was cut. [n] bool"""
    known = np.unique(row_passages(held_out, window))
    batches = (rows[start : start + batch] for start in range(0, len(rows), batch))
    found = [among(row_passages(part, window), known).any(1) for part in batches]
    return np.concatenate(found) if found else np.zeros(0, bool)


def repeats(rows: np.ndarray, window: int = WINDOW, share: float = REPEATED) -> np.ndarray:
    """Whether at least this share of a row's passages stood in a row before it. [n] bool"""
    hashes = row_passages(rows, window)  # [n, length - window]
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    # Position of the first passage like each one, in row-major order: its row comes before, or is this one.
    earliest = first[inverse].reshape(hashes.shape) // hashes.shape[1]
    return (earliest < np.arange(len(rows))[:, None]).mean(1) >= share


def row_passages(rows: np.ndarray, window: int = WINDOW) -> np.ndarray:
    """A hash of each run of `window` tokens of each row, BOS left out. [n, length - window] uint64"""
    return passages(rows[:, 1:], window)


def passages(ids: np.ndarray, window: int = WINDOW) -> np.ndarray:
    """A hash of each run of `window` tokens along the last axis. [..., length] -> [..., length - window + 1] uint64"""
    count = max(0, ids.shape[-1] - window + 1)
    hashes = np.zeros((*ids.shape[:-1], count), np.uint64)
    for offset in range(window):
        # Horner's rule modulo 2**64: column i takes in the token at i + offset.
        hashes *= MULTIPLIER
        hashes += ids[..., offset : offset + count].astype(np.uint64) + np.uint64(1)
    return hashes


def among(hashes: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Which of the hashes are in `known`, sorted and distinct. Like hashes, bool"""
    if not len(known):
        return np.zeros(hashes.shape, bool)
    return known[np.searchsorted(known, hashes).clip(max=len(known) - 1)] == hashes


def known_passages(documents: Iterable[Sequence[int]], window: int = WINDOW) -> np.ndarray:
    """The distinct passages of documents of token ids, sorted. [n] uint64"""
    found = [passages(np.asarray(ids, np.int64), window) for ids in documents]
    return np.unique(np.concatenate(found)) if found else np.zeros(0, np.uint64)


def covered(ids: np.ndarray, known: np.ndarray, window: int = WINDOW) -> np.ndarray:
    """Which tokens of a document stand in one of the `known_passages`. [n] bool"""
    starts = np.pad(among(passages(ids, window), known), (0, min(len(ids), window - 1)))  # [n]
    before = np.pad(np.cumsum(starts), (window, 0))  # [i + window]: passages that start at i or before
    # Token t stands in those that start at t - window + 1 .. t.
    return before[window:] > before[:-window]


def without(ids: np.ndarray, known: np.ndarray, window: int = WINDOW) -> np.ndarray:
    """A document's token ids less those that stand in a known passage; what is left holds none, nor where two ends
    meet."""
    while (found := covered(ids, known, window)).any():
        ids = ids[~found]
    return ids
