"""How good are the model and its SAE? The figures of `docs/definitions.md`, in float32, sums in float64."""

from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from . import language_model as lm
from .tokenizer import BOS, EOS, PAD

ROWS_AT_ONCE = 16
DENSE_ABOVE = 0.1  # share of tokens
TWIN_ABOVE = 0.9  # cosine of decoder rows


@dataclass(frozen=True)
class Figures:
    """Quality of a model and an SAE. Losses in nats per token, over every next token of the held-out rows."""

    loss: float
    loss_with_sae: float
    loss_zero_ablated: float
    loss_recovered: float  # (zero-ablated - with the SAE) / (zero-ablated - clean)
    held_out_tokens: int
    l0: float  # features a token, special tokens not counted, as in all that follows
    explained_variance: float
    features: int
    density_tokens: int  # the population of the next two
    dead: float  # share of the features that never fired
    dense: float  # share of the features that fired on more than 10 % of tokens
    twins: float  # share of the features that fired whose decoder row has a cosine above 0.9 with another's

    def lines(self) -> list[str]:
        return [f"{name:20} {value:,.4f}" if isinstance(value, float) else f"{name:20} {value:,}"
                for name, value in asdict(self).items()]  # fmt: skip


def encode(sae: dict[str, Tensor], h: Tensor) -> Tensor:
    """a where a = h W_enc + b_enc is above the threshold and above 0: [..., d_sae]."""
    a = h @ sae["W_enc"] + sae["b_enc"]
    return a * (a > sae["threshold"].clamp_min(0))


def decode(sae: dict[str, Tensor], f: Tensor) -> Tensor:
    """[..., d_in]"""
    return f @ sae["W_dec"] + sae["b_dec"]


def batches(rows: np.ndarray, device):
    for start in range(0, len(rows), ROWS_AT_ONCE):
        yield torch.from_numpy(rows[start : start + ROWS_AT_ONCE].astype(np.int64)).to(device)


def counted(tokens: Tensor) -> Tensor:
    """Positions that hold text: [batch, position] bool."""
    return (tokens != BOS) & (tokens != EOS) & (tokens != PAD)


def model_loss(w: lm.Weights, rows: np.ndarray, edit=None) -> float:
    """Mean loss over every next token of every row, `edit` put in the place of the neurons."""
    total = 0.0
    for tokens in batches(rows, w["embed.W_E"].device):
        losses = torch.nn.functional.cross_entropy(
            lm.logits(w, tokens, edit)[:, :-1].flatten(0, 1), tokens[:, 1:].flatten(), reduction="sum"
        )
        total += float(losses)
    return total / (rows.shape[0] * (rows.shape[1] - 1))


def neurons(w: lm.Weights, tokens: Tensor) -> Tensor:
    """hook_post of the counted positions: [n, d_mlp]."""
    return lm.neurons(w, lm.attend(w, tokens, torch.float32))[counted(tokens)]


def reconstruction(w: lm.Weights, sae: dict, rows: np.ndarray) -> tuple[float, float]:
    """L0 and explained variance, 1 - sum |h - h'|^2 / sum |h - mean h|^2."""
    n = fired = error = square = 0.0
    total = torch.zeros(sae["W_dec"].shape[1], dtype=torch.float64)
    for tokens in batches(rows, w["embed.W_E"].device):
        h = neurons(w, tokens)
        f = encode(sae, h)
        n, fired = n + len(h), fired + float((f > 0).sum())
        error += float((h - decode(sae, f)).square().sum(dtype=torch.float64))
        square += float(h.square().sum(dtype=torch.float64))
        total += h.sum(0, dtype=torch.float64).cpu()
    return fired / n, 1 - error / (square - float(total.square().sum()) / n)


def densities(w: lm.Weights, sae: dict, rows: np.ndarray) -> tuple[Tensor, int]:
    """Share of counted tokens each feature fires on, [d_sae], and how many tokens there were."""
    times, n = torch.zeros(sae["W_enc"].shape[1], dtype=torch.int64), 0
    for tokens in batches(rows, w["embed.W_E"].device):
        f = encode(sae, neurons(w, tokens))
        times += (f > 0).sum(0).cpu()
        n += len(f)
    return times.double() / n, n


def twins(W_dec: Tensor, alive: Tensor) -> float:
    """Share of the features that fired with another such one at a decoder cosine above 0.9."""
    rows = W_dec[alive] / W_dec[alive].norm(dim=1, keepdim=True)
    if len(rows) < 2:
        return 0.0
    closest = [(part @ rows.T).topk(2, dim=1).values[:, 1] for part in rows.split(512)]  # the first is itself
    return float((torch.cat(closest) > TWIN_ABOVE).double().mean())


@torch.no_grad()
def measure(
    w: lm.Weights,
    sae: dict[str, Tensor],
    held_out: np.ndarray,  # [rows, n_ctx], for losses, L0 and explained variance
    corpus: np.ndarray,  # [rows, n_ctx], for densities
    tokens: int = 500_000,
) -> Figures:
    """All figures; as many corpus rows are read as hold `tokens` counted tokens, or all of them."""
    clean = model_loss(w, held_out)
    spliced = model_loss(w, held_out, lambda h: decode(sae, encode(sae, h)))
    zero = model_loss(w, held_out, torch.zeros_like)
    l0, explained = reconstruction(w, sae, held_out)
    held = counted(torch.from_numpy(corpus.astype(np.int64))).sum(1).numpy()
    needed = np.searchsorted(np.cumsum(held), tokens) + 1
    density, seen = densities(w, sae, corpus[:needed])
    alive = density > 0
    return Figures(
        loss=clean,
        loss_with_sae=spliced,
        loss_zero_ablated=zero,
        loss_recovered=(zero - spliced) / (zero - clean),
        held_out_tokens=held_out.shape[0] * (held_out.shape[1] - 1),
        l0=l0,
        explained_variance=explained,
        features=len(density),
        density_tokens=seen,
        dead=float((~alive).double().mean()),
        dense=float((density > DENSE_ABOVE).double().mean()),
        twins=twins(sae["W_dec"], alive.to(sae["W_dec"].device)),
    )
