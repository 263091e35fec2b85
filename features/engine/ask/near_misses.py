"""How near is a feature to being active where it is not? Its pre-activation, and what that would have to exceed."""

import numpy as np
import torch

from ..sae.sae import SparseAutoencoder
from ..subject import Subject

TOPK = ("topk", "signed_topk", "abstopk")


@torch.no_grad()
def near_misses(subject: Subject, rows: np.ndarray, positions: np.ndarray, feature: int):
    """Pre-activations p of a feature on one token of each row, and the bar. [n, length] ids, [n] -> [n], [n] float32

    The bar: 0 or the threshold; of top-k the smallest activation on the token, of a group's maximum the largest in its
    group. Same as reference_questions.bar: float32 rounding.
    """
    hook = subject.activations(rows)  # [n, length, d_in]
    h = hook[torch.arange(len(rows)), torch.as_tensor(positions)]  # [n, d_in]
    p = subject.sae.pre_activations(h, [feature])[:, 0]  # [n]
    return p.cpu().numpy(), bar(subject.sae, h, feature).cpu().numpy()


def bar(sae: SparseAutoencoder, h: torch.Tensor, feature: int) -> torch.Tensor:
    """What the size of a pre-activation has to exceed on each token. [n, d_in] -> [n]"""
    if sae.config.activation in TOPK:
        sizes = sae.encode(h).abs()  # [n, d_sae]
        return torch.where(sizes > 0, sizes, torch.inf).amin(1).nan_to_num(posinf=0.0)
    if sae.config.activation == "groupmax":
        group = sae.encode(h).unflatten(1, (sae.config.k, -1))  # [n, k, d_sae / k]
        return group[:, feature // group.shape[2]].amax(1)
    return sae.floor[feature].expand(len(h))


def decoder_cosines(sae: SparseAutoencoder, feature: int, others: list[int]) -> np.ndarray:
    """Cosine of a decoder row with those of others. [n] float32; NaN of rows that are zero. Same as
    reference.decoder_cosine: float32 rounding."""
    own, rows = sae.W_dec[feature], sae.W_dec[others]  # [d_in], [n, d_in]
    return ((rows @ own) / (rows.norm(dim=1) * own.norm())).cpu().numpy()
