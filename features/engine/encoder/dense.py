"""Active entries by the whole product in float32: the plain implementation, on any device and for any SAE."""

import torch
from torch import Tensor

from ..kernels.parallel import Scratch
from ..kernels.sparse import flat_nonzero
from ..sae.sae import SparseAutoencoder

CooEntries = tuple[Tensor, Tensor, Tensor]  # features, tokens, values: feature by feature, tokens ascending in each


def dense_entries(sae: SparseAutoencoder, hook: Tensor, scratch: Scratch | None = None) -> CooEntries:
    """Every activation of hook [tokens, d_in] that is not 0, in float32 from first to last. [n] each

    The product is taken with features as rows, so that no entry has to be sorted; bias, ReLU and threshold are
    applied to what survives a comparison, not to the whole matrix. Same as reference.encode: float32 rounding.
    """
    if not sae.is_plain:
        # Activations that look at all features of a token (top-k), or an input norm: the SAE's own encode.
        dense = sae.encode(hook).t().contiguous()  # [d_sae, tokens]
        candidates = (dense != 0).view(-1).nonzero().squeeze(1)
        return candidates // len(hook), candidates % len(hook), dense.view(-1)[candidates]
    out = None if scratch is None else scratch.buffer((sae.config.d_sae, len(hook)), hook)
    products = torch.mm(sae.W_enc.t(), hook.t(), out=out)  # [d_sae, tokens]
    candidates = flat_nonzero(products > _least_product(sae)[:, None])
    return keep_active(sae, len(hook), candidates, products.view(-1)[candidates])


def keep_active(sae: SparseAutoencoder, tokens: int, candidates: Tensor, products: Tensor) -> CooEntries:
    """The candidates that are active once the bias is added, with their values. [n], [n] -> [m] each

    candidates: flat indices feature * tokens + token, of a plain SAE; products: w h of each.
    """
    features = candidates // tokens
    values = products + sae.b_enc[features]
    keep = values > 0
    if sae.threshold is not None:
        keep &= values > sae.threshold[features]
    return features[keep], candidates[keep] % tokens, values[keep]


def _least_product(sae: SparseAutoencoder) -> Tensor:
    """A product at or below it cannot become active. [d_sae]"""
    if sae.threshold is None:
        # fl(p + b) > 0 exactly if p > -b: the rounded sum of two floats is 0 only where they cancel.
        return -sae.b_enc
    # fl(p + b) > threshold may hold for p a little below threshold - b: |fl(x) - x| <= u |x|, and 1e-5 is 168 u.
    return sae.floor - sae.b_enc - 1e-5 * (sae.threshold.abs() + sae.b_enc.abs())
