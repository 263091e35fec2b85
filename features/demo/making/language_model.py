"""What the demo's language model computes: one transformer block, in transformer_lens's names and shapes.

    x0 = W_E[token] + W_pos[position]
    x1 = x0 + attention(LN1(x0))
    x2 = x1 + gelu(LN2(x1) W_in + b_in) W_out + b_out
    logits = LN_final(x2) W_U + b_U

A model is a plain dictionary of tensors, so that training, saving and exporting need no translation.
"""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from .tokenizer import BOS, EOS

Weights = dict[str, Tensor]
EPS = 1e-5  # of every LayerNorm
CHUNK = 512  # positions whose logits are alive at once: 512 x 8,192 in bfloat16 stay in the cache


@dataclass(frozen=True)
class Shape:
    """Sizes of a one-block model, under transformer_lens's names."""

    d_model: int = 384
    n_heads: int = 6
    d_head: int = 64
    d_mlp: int = 1024
    d_vocab: int = 8192
    n_ctx: int = 128


def initial(shape: Shape, seed: int = 0) -> Weights:
    """Weights before training: matrices keep the variance of what they read, what writes starts at zero."""
    s, generator, b = shape, torch.Generator().manual_seed(seed), "blocks.0."

    def normal(*size, std):
        return torch.randn(size, generator=generator) * std

    inner = (s.n_heads, s.d_model, s.d_head)
    weights = {"embed.W_E": normal(s.d_vocab, s.d_model, std=0.5)}
    weights["pos_embed.W_pos"] = normal(s.n_ctx, s.d_model, std=0.05)
    weights |= {f"{b}attn.W_{part}": normal(*inner, std=s.d_model**-0.5) for part in "QKV"}
    weights |= {f"{b}attn.b_{part}": torch.zeros(s.n_heads, s.d_head) for part in "QKV"}
    weights |= {
        f"{b}attn.W_O": torch.zeros(s.n_heads, s.d_head, s.d_model),
        f"{b}attn.b_O": torch.zeros(s.d_model),
    }
    weights |= {
        f"{b}mlp.W_in": normal(s.d_model, s.d_mlp, std=s.d_model**-0.5),
        f"{b}mlp.b_in": torch.zeros(s.d_mlp),
    }
    weights |= {f"{b}mlp.W_out": torch.zeros(s.d_mlp, s.d_model), f"{b}mlp.b_out": torch.zeros(s.d_model)}
    for norm in (f"{b}ln1", f"{b}ln2", "ln_final"):
        weights |= {f"{norm}.w": torch.ones(s.d_model), f"{norm}.b": torch.zeros(s.d_model)}
    return weights | {"unembed.W_U": torch.zeros(s.d_model, s.d_vocab), "unembed.b_U": torch.zeros(s.d_vocab)}


def norm(w: Weights, name: str, x: Tensor, dtype: torch.dtype) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], w[f"{name}.w"], w[f"{name}.b"], EPS).to(dtype)


def attend(w: Weights, tokens: Tensor, dtype: torch.dtype) -> Tensor:
    """The residual stream after attention: [batch, position, d_model] float32."""
    b, (batch, length) = "blocks.0.attn.", tokens.shape
    x = F.embedding(tokens, w["embed.W_E"]) + w["pos_embed.W_pos"][:length]
    heads, d_model, d_head = w[b + "W_Q"].shape
    W = torch.stack([w[b + f"W_{part}"] for part in "QKV"]).permute(2, 0, 1, 3).reshape(d_model, -1).to(dtype)
    bias = torch.stack([w[b + f"b_{part}"] for part in "QKV"]).reshape(-1).to(dtype)
    qkv = torch.addmm(bias, norm(w, "blocks.0.ln1", x, dtype).view(-1, d_model), W)
    q, k, v = qkv.view(batch, length, 3, heads, d_head).permute(2, 0, 3, 1, 4).reshape(3, -1, length, d_head)
    # written out: for 128 positions on a CPU the fused kernel's gradient takes three times as long
    future = torch.full((length, length), -math.inf, dtype=dtype, device=q.device).triu(1)
    pattern = torch.baddbmm(future, q, k.mT, alpha=d_head**-0.5).softmax(-1)
    mixed = (pattern @ v).view(batch, heads, length, d_head).transpose(1, 2).reshape(batch * length, -1)
    out = torch.addmm(w[b + "b_O"].to(dtype), mixed, w[b + "W_O"].reshape(-1, d_model).to(dtype))
    return x + out.view_as(x)


def neurons(w: Weights, x: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """blocks.0.mlp.hook_post for a residual stream after attention: [batch, position, d_mlp]."""
    b = "blocks.0.mlp."
    h = norm(w, "blocks.0.ln2", x, dtype).view(-1, x.shape[-1])
    return F.gelu(torch.addmm(w[b + "b_in"].to(dtype), h, w[b + "W_in"].to(dtype))).view(*x.shape[:2], -1)


def final(
    w: Weights,
    tokens: Tensor,
    dtype: torch.dtype = torch.float32,
    edit: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """What the unembedding reads, LN_final(x2): [batch, position, d_model]. `edit` replaces the neurons."""
    b, x = "blocks.0.mlp.", attend(w, tokens, dtype)
    h = neurons(w, x, dtype)
    h = edit(h) if edit else h
    out = torch.addmm(w[b + "b_out"].to(dtype), h.reshape(-1, h.shape[-1]), w[b + "W_out"].to(dtype))
    return norm(w, "ln_final", x + out.view_as(x), dtype)


def logits(w: Weights, tokens: Tensor, edit: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """[batch, position, d_vocab] in float32."""
    return final(w, tokens, edit=edit) @ w["unembed.W_U"] + w["unembed.b_U"]


def candidates(targets: Tensor, vocabulary: int, common: int, sampled: int, seed: int) -> tuple[Tensor, Tensor]:
    """Entries that stand for the vocabulary in one batch: their ids, and what to add to their logits.

    The first `common` ids (byte-pair merges come in order of frequency), every target, and `sampled` others
    at
    random, each of which stands for several: + log(others / sampled) keeps the sum of exponentials unbiased
    (Jean et al., "On using very large target vocabulary", 2015).
    """
    needed = torch.zeros(vocabulary, dtype=torch.bool)
    needed[:common] = True
    needed[targets.cpu()] = True
    others = torch.nonzero(~needed)[:, 0]
    generator = torch.Generator().manual_seed(seed + int(targets.sum()))  # another draw for every part of a batch
    drawn = torch.randperm(len(others), generator=generator)[:sampled]
    sure = torch.nonzero(needed)[:, 0]
    more = torch.full((len(drawn),), math.log(len(others) / max(1, len(drawn))) if len(drawn) else 0.0)
    ids = torch.cat([sure, others[drawn]]).to(targets.device)
    return ids, torch.cat([torch.zeros(len(sure)), more]).to(targets.device)


class NextTokenLoss(torch.autograd.Function):
    """Mean cross entropy of linear logits, whose gradient is made in the same pass over the vocabulary.

    All logits of a batch are gigabytes moved to and fro; a chunk of them stays in the cache. With
    p = softmax, dL/dlogits = (p - onehot) / n, so that nothing but the gradients outlives the chunk. `ids`
    and `more` from `candidates` make the sums over these entries only.
    """

    @staticmethod
    def forward(ctx, h, W, b, targets, ids=None, more=None):  # [n, d], [d, vocab], [vocab], [n], [m], [m]
        W_low, b_low = (W, b) if ids is None else (W[:, ids], b[ids] + more)
        W_low, b_low = W_low.to(h.dtype), b_low.to(h.dtype)
        if ids is not None:
            places = torch.empty(len(b), dtype=torch.int64, device=b.device)
            places[ids] = torch.arange(len(ids), device=b.device)
            targets = places[targets]
        d_h, d_W = torch.empty_like(h), torch.zeros_like(W_low, dtype=W.dtype)
        d_b, total = torch.zeros_like(b_low, dtype=b.dtype), 0.0
        for start in range(0, len(h), CHUNK):
            part, target = h[start : start + CHUNK], targets[start : start + CHUNK, None]
            p = torch.addmm(b_low, part, W_low).softmax(-1)
            chosen = p.gather(1, target)
            total -= chosen.float().clamp_min(1e-30).log().sum()
            p.scatter_(1, target, chosen - 1)
            d_h[start : start + CHUNK] = p @ W_low.t()
            d_W += part.t() @ p
            d_b += p.new_ones(1, len(p)).matmul(p)[0]
        if ids is not None:
            d_W = torch.zeros_like(W).index_copy_(1, ids, d_W)
            d_b = torch.zeros_like(b).index_copy_(0, ids, d_b)
        n = len(h)
        ctx.save_for_backward(d_h.div_(n), d_W.div_(n), d_b.div_(n))
        return total / n

    @staticmethod
    def backward(ctx, up):
        d_h, d_W, d_b = ctx.saved_tensors
        return d_h * up.to(d_h.dtype), d_W * up, d_b * up, None, None, None


def loss(
    w: Weights,
    tokens: Tensor,  # [batch, n_ctx]
    dtype: torch.dtype = torch.float32,
    sample: tuple[int, int, int] | None = None,  # common, sampled and seed of `candidates`
) -> Tensor:
    """Mean loss of predicting each next token, in nats; differentiable once."""
    h, targets = final(w, tokens[:, :-1], dtype), tokens[:, 1:].reshape(-1)
    W, b = w["unembed.W_U"], w["unembed.b_U"]
    chosen = candidates(targets, len(b), *sample) if sample else ()
    return NextTokenLoss.apply(h.reshape(-1, h.shape[-1]), W, b, targets, *chosen)


def export(folder: Path, w: Weights, shape: Shape) -> None:
    """Writes model.safetensors (float16) and config.json, as transformer_lens names and reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: value.detach().cpu().half().contiguous() for name, value in w.items()},
        folder / "model.safetensors",
    )
    config = {"n_layers": 1, **asdict(shape), "act_fn": "gelu", "normalization_type": "LN", "eps": EPS}
    config |= {
        "positional_embedding_type": "standard",
        "attn_only": False,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")


def load(folder: Path, device: str = "cpu") -> tuple[Weights, Shape]:
    """An exported model, in float32."""
    config = json.loads((folder / "config.json").read_text())
    weights = {name: value.float() for name, value in load_file(folder / "model.safetensors", device).items()}
    return weights, Shape(**{name: config[name] for name in Shape.__dataclass_fields__})
