"""Random draws without repetition, for many groups at once, and the same for a group whatever is drawn beside it.

A group's draws come from a hash of its name (counter-based, by splitmix64: Steele, Lea and Flood, 2014), not from a
generator that others draw from too.
"""

import numpy as np

GOLDEN = 0x9E3779B97F4A7C15  # 2**64 divided by the golden ratio: splitmix64's step


def keys_of(*parts) -> np.ndarray:
    """A 64-bit key for each combination of whole numbers >= 0; the parts broadcast. uint64"""
    key = np.zeros(1, np.uint64)
    for part in parts:
        key = _splitmix64(key + np.asarray(part).astype(np.uint64), 1)
    return key


def draw(keys: np.ndarray, sizes: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each group, `most` of the numbers below its size, all sets of so many as likely; or all where there are no
    more. keys [...] uint64, sizes [...] -> ascending numbers [..., most] and which of them are filled, bool.

    Floyd's algorithm (Bentley and Floyd, 1987): number i is drawn from one more than the number before it was, and
    where it was drawn already the newest possible one takes its place. Sizes below 2**32; some numbers are likelier
    than others by 2**-32 of it.
    """
    sizes = np.asarray(sizes, np.int64)
    drawn = np.empty((*sizes.shape, most), np.int64)  # [..., most]
    for n in range(most):
        last = np.maximum(sizes - most + n, 0)
        # Uniform in 0..last: the upper 32 bits of a hash times (last + 1), divided by 2**32.
        candidates = (_splitmix64(keys, n + 1) >> np.uint64(32)) * (last + 1).astype(np.uint64)
        candidates = (candidates >> np.uint64(32)).astype(np.int64)
        again = (drawn[..., :n] == candidates[..., None]).any(-1)
        drawn[..., n] = np.where(again, last, candidates)
    # Groups that are too small have all their numbers, and unfilled ones behind.
    every = np.arange(most)
    drawn = np.where(sizes[..., None] <= most, every, np.sort(drawn, axis=-1))
    return drawn, every < sizes[..., None]


def _splitmix64(keys: np.ndarray, step: int) -> np.ndarray:
    """Number `step` of the sequence that splitmix64 makes of each key; arithmetic is modulo 2**64."""
    x = keys + np.uint64(GOLDEN * step % 2**64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
