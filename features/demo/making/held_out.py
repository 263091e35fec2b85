"""Which token rows may be trained on? Those that share no passage with a held-out row.

Language models are commonly kept from their test sets by n-grams (Brown et al., "Language models are few-shot
learners", 2020, appendix C: 13 words); here by runs of 16 tokens, compared by a polynomial hash (Karp and Rabin, 1987).
"""

import numpy as np

WINDOW = 16  # tokens of a passage; shorter runs in common are idiom, not memory
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no token is lost modulo 2**64


def training_rows(rows: np.ndarray, held_out: np.ndarray, seed: int = 0) -> np.ndarray:
    """Rows [n, length] without those that overlap held-out ones [m, length], shuffled."""
    kept = rows[~overlapping(rows, held_out)] if len(held_out) else rows
    return kept[np.random.default_rng(seed).permutation(len(kept))]


def overlapping(rows: np.ndarray, held_out: np.ndarray, window: int = WINDOW, batch: int = 20_000) -> np.ndarray:
    """Whether a row shares a passage of `window` tokens with a held-out row, wherever either was cut. [n] bool"""
    known = np.unique(passages(held_out, window))
    batches = (rows[start : start + batch] for start in range(0, len(rows), batch))
    found = [np.isin(passages(part, window), known).any(1) for part in batches]
    return np.concatenate(found) if found else np.zeros(0, bool)


def passages(rows: np.ndarray, window: int = WINDOW) -> np.ndarray:
    """A hash of each run of `window` tokens of each row, BOS left out. [n, length - window] uint64"""
    body = rows[:, 1:].astype(np.uint64)
    count = body.shape[1] - window + 1
    hashes = np.zeros((len(rows), count), np.uint64)
    for offset in range(window):
        # Horner's rule modulo 2**64: column i takes in the token at i + offset.
        hashes = hashes * MULTIPLIER + body[:, offset : offset + count] + np.uint64(1)
    return hashes
