"""In which precision are dense products taken in training? Mixed where bfloat16 is quicker, else in float32.

Mixed precision: weights, norms and sums stay in float32 (Micikevicius et al., "Mixed precision training", 2018).
"""

import torch

from features.engine.encoder.autotune import bfloat16_pays


def product_dtype(device: str | torch.device) -> torch.dtype:
    """bfloat16 where this device multiplies it much faster than float32: processors without it take 30 times as long.

    Measured, so a run keeps what it began with.
    """
    return torch.bfloat16 if bfloat16_pays(torch.device(device)) else torch.float32
