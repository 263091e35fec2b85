"""Where do the SAE's weights start? At directions that inputs have, so that something is rebuilt from the first step.

Decoder rows from data: as in Bricken et al., "Towards monosemanticity" (2023), where dead features are resampled from
inputs; the encoder as their transpose: Gao et al., "Scaling and evaluating sparse autoencoders" (2024).
"""

import torch
from torch import Tensor

from .batch_topk import SAMPLED, batch_threshold
from .inputs import Weights, jumprelu

SIMILAR = 0.6  # cosine above which two inputs count as one direction


def initial(x: Tensor, d_sae: int, k: float, seed: int = 0, similar: float = SIMILAR) -> Weights:
    """Decoder rows are directions in which inputs x [tokens, d_in] lie from their mean, no two much alike.

    Where x has too few different ones the rest are random. The encoder is the transpose, reading x - mean, made so weak
    that k features a token together rebuild the right length: scale = <x - mean, x' - mean> / |x' - mean|^2.
    """
    mean = x.mean(0)
    directions = x - mean
    directions = directions / directions.norm(dim=1, keepdim=True).clamp_min(1e-6)
    rows = spread_out(directions, d_sae, similar)
    noise = torch.randn(d_sae - len(rows), x.shape[1], generator=torch.Generator().manual_seed(seed))
    noise = (noise / noise.norm(dim=1, keepdim=True)).to(x.device)
    rows = torch.cat([rows, noise])  # [d_sae, d_in]
    scale = best_scale(rows, x[: SAMPLED * 100] - mean, k)
    return {
        "W_enc": rows.T.contiguous() * scale,
        "b_enc": -(rows @ mean) * scale,
        "W_dec": rows,
        "b_dec": mean.clone(),
    }


def best_scale(rows: Tensor, x: Tensor, k: float) -> Tensor:
    """How long x' has to be made to come nearest to centred inputs x [tokens, d_in], k of the rows a token. []"""
    p = x @ rows.T
    threshold = batch_threshold(p, k).expand(len(rows))
    biases = {"b_enc": x.new_zeros(len(rows)), "b_dec": x.new_zeros(x.shape[1])}
    sae = jumprelu({"W_enc": rows.T, "W_dec": rows, **biases}, threshold)
    rebuilt = sae.decode(sae.activate(p))
    return (x * rebuilt).sum() / rebuilt.square().sum()


def spread_out(directions: Tensor, most: int, similar: float, batch: int = 64) -> Tensor:
    """The first `most` directions [m, d] whose cosine with every one taken before is below `similar`. [n, d]"""
    taken = directions[:0]
    for part in directions.split(batch):
        new = part[(part @ taken.T).amax(1) < similar] if len(taken) else part
        alike = (new @ new.T).tril(-1) >= similar
        taken = torch.cat([taken, new[~alike.any(1)]])
        if len(taken) >= most:
            return taken[:most]
    return taken
