"""How near is a feature to being active where it is not? Its pre-activation, and what that would have to exceed."""

import numpy as np
import torch

from ..sae.bars import against_threshold
from ..sae.sae import SparseAutoencoder
from ..subject import Subject
from ..weights.decoder_neighbours import SHORTEST


@torch.no_grad()
def near_misses(subject: Subject, rows: np.ndarray, positions: np.ndarray, feature: int):
    """Pre-activations p of a feature on one token of each row, and the bar. [n, length] ids, [n] -> [n], [n] float32

    The bar: 0 or the threshold; of top-k the k-th largest on the token, of a group's maximum the largest in its group,
    both at least 0 where a ReLU comes last. Same as reference_questions.bar: float32 rounding.
    """
    hook = subject.activations(rows)  # [n, length, d_in]
    h = hook[torch.arange(len(rows)), torch.as_tensor(positions)]  # [n, d_in]
    p = subject.sae.pre_activations(h, [feature])[:, 0]  # [n]
    return p.cpu().numpy(), bar(subject.sae, h, feature).cpu().numpy()


def bar(sae: SparseAutoencoder, h: torch.Tensor, feature: int) -> torch.Tensor:
    """What a pre-activation has to exceed on each token; for abstopk, what its size has to. [n, d_in] -> [n]"""
    return against_threshold(sae, h, torch.tensor([feature], device=sae.device))[1][:, 0]


def decoder_cosines(sae: SparseAutoencoder, feature: int, others: list[int]) -> np.ndarray:
    """Cosine of a decoder row with those of others. [n] float32; 0 with a row of zeros. Same as
    reference.decoder_cosine: float32 rounding."""
    own, rows = sae.W_dec[feature], sae.W_dec[others]  # [d_in], [n, d_in]
    lengths = rows.norm(dim=1).clamp_min(SHORTEST) * own.norm().clamp_min(SHORTEST)  # [n]
    return ((rows @ own) / lengths).cpu().numpy()
