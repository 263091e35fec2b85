"""Which features are active on which tokens: the encoder's product, and only what survives it."""

import threading

import torch
from torch import Tensor

from .sae import SparseAutoencoder

Entries = tuple[Tensor, Tensor, Tensor]  # features, tokens, values


class Scratch(threading.local):
    """Memory for the products of a batch, one a thread: asking for it anew each time costs more than filling it."""

    memory: Tensor | None = None

    def of(self, size: int, like: Tensor) -> Tensor:
        if self.memory is None or self.memory.numel() < size:
            self.memory = torch.empty(size, device=like.device)
        return self.memory[:size]


def active_entries(sae: SparseAutoencoder, hook: Tensor, scratch: Tensor | None = None) -> Entries:
    """(features, tokens, values) of every activation that is not 0, feature by feature.

    hook [tokens, d_in]. The product is taken with features as rows, so that no entry has to be sorted; bias,
    ReLU and threshold are applied to what survives a comparison, not to the whole matrix. `scratch`, float32 of
    d_sae x tokens, saves the memory of that matrix being asked for anew.
    """
    if not sae.is_plain:
        dense = sae.encode(hook).t().contiguous()
        found = (dense != 0).view(-1).nonzero().squeeze(1)
        return found // len(hook), found % len(hook), dense.view(-1)[found]
    shape = (sae.config.d_sae, len(hook))
    out = None if scratch is None else scratch.view(shape)
    products = torch.mm(sae.W_enc.t(), hook.t(), out=out)
    found = (products > _least(sae)[:, None]).view(-1).nonzero().squeeze(1)
    features = found // len(hook)
    values = products.view(-1)[found] + sae.b_enc[features]
    if sae.threshold is not None:
        keep = (values > sae.threshold[features]) & (values > 0)
        found, features, values = found[keep], features[keep], values[keep]
    return features, found % len(hook), values


def _least(sae: SparseAutoencoder) -> Tensor:
    """A product at or below it cannot become active. Without a threshold, and only if it is above -b_enc is
    the rounded sum positive; with one, a margin for the sum's rounding is left. [d_sae]"""
    if sae.threshold is None:
        return -sae.b_enc
    return sae.threshold.clamp_min(0) - sae.b_enc - 1e-5 * (sae.threshold.abs() + sae.b_enc.abs())
