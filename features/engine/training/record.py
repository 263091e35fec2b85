"""What is kept of each feature at each checkpoint of a run: 64 bytes, its count among them. Read without torch."""

import numpy as np

TOPS = 20  # strongest positions of a feature, at most one a row
BLOCK = 256  # features whose records lie together: one feature's history reads one block a checkpoint
LEAST_ACTIVE = 20  # activations below which shares and moments of a feature are extreme by accident, and are not told
ONLY = 0.9  # share of a feature's activations from which on it fires on one token, or at one position, only
COUNT = np.dtype("<u4")
RECORD = np.dtype(
    [
        ("maximum", "<f4"),
        ("mean", "<f4"),  # of the active values
        ("encoder_norm", "<f2"),
        ("decoder_norm", "<f2"),
        ("encoder_decoder", "<f2"),  # cosine
        ("nearest", "<f2"),  # highest cosine with another decoder row
        ("before", "<f2"),  # cosine with its own decoder row at the checkpoint before; NaN where there is none
        ("flags", "<u2"),
        # Token numbers modulo 65,536: two of them agree by accident once in so many. Fewer than TOPS: the first again.
        ("tops", "<u2", (TOPS,)),
    ]
)
ONE_TOKEN, ONE_POSITION, BOS_ONLY, SPLIT, MERGED = 1, 2, 4, 8, 16  # flags; the last two since the checkpoint before


def blocks(records: np.ndarray) -> list[bytes]:
    """Records [d_sae] cut into blocks of BLOCK features."""
    return [records[start : start + BLOCK].tobytes() for start in range(0, len(records), BLOCK)]


def read_block(data: bytes) -> np.ndarray:
    return np.frombuffer(data, RECORD)
