"""What does the language model compute in training? The engine's one-layer transformer, with gradients and in
mixed precision.

    x0 = W_E[token] + W_pos[position]
    x1 = x0 + attention(LN1(x0))
    x2 = x1 + gelu(LN2(x1) W_in + b_in) W_out + b_out
    logits = LN_final(x2) W_U + b_U

In float32 equal to engine/model/one_layer.py by a test. A second spelling, because here matrix products may be in
bfloat16 around a residual stream in float32, and attention is written out for its gradient. A model is a plain
dictionary of tensors in transformer_lens's names, so that saving and exporting need no translation.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from features.engine.model.one_layer import OneBlockConfig

Weights = dict[str, Tensor]
EPS = OneBlockConfig.eps  # of every LayerNorm


def initial(config: OneBlockConfig, seed: int = 0) -> Weights:
    """Weights before training: matrices keep the variance of what they read, what writes starts at zero."""
    c, generator, block = config, torch.Generator().manual_seed(seed), "blocks.0."

    def normal(*size: int, std: float) -> Tensor:
        return torch.randn(size, generator=generator) * std

    weights = {"embed.W_E": normal(c.d_vocab, c.d_model, std=0.5)}
    weights["pos_embed.W_pos"] = normal(c.n_ctx, c.d_model, std=0.05)
    for part in "QKV":
        weights[f"{block}attn.W_{part}"] = normal(c.n_heads, c.d_model, c.d_head, std=c.d_model**-0.5)
    for part in "QKV":
        weights[f"{block}attn.b_{part}"] = torch.zeros(c.n_heads, c.d_head)
    weights[f"{block}attn.W_O"] = torch.zeros(c.n_heads, c.d_head, c.d_model)
    weights[f"{block}attn.b_O"] = torch.zeros(c.d_model)
    weights[f"{block}mlp.W_in"] = normal(c.d_model, c.d_mlp, std=c.d_model**-0.5)
    weights[f"{block}mlp.b_in"] = torch.zeros(c.d_mlp)
    weights[f"{block}mlp.W_out"] = torch.zeros(c.d_mlp, c.d_model)
    weights[f"{block}mlp.b_out"] = torch.zeros(c.d_model)
    for name in (f"{block}ln1", f"{block}ln2", "ln_final"):
        weights |= {f"{name}.w": torch.ones(c.d_model), f"{name}.b": torch.zeros(c.d_model)}
    return weights | {"unembed.W_U": torch.zeros(c.d_model, c.d_vocab), "unembed.b_U": torch.zeros(c.d_vocab)}


def normed(w: Weights, name: str, x: Tensor, dtype: torch.dtype) -> Tensor:
    """The LayerNorm of that name, computed in float32. Like x [..., d_model], in dtype"""
    return F.layer_norm(x, x.shape[-1:], w[f"{name}.w"], w[f"{name}.b"], EPS).to(dtype)


def residual_mid(w: Weights, tokens: Tensor, dtype: torch.dtype) -> Tensor:
    """The residual stream after attention. tokens [batch, seq] -> [batch, seq, d_model] float32"""
    attn, (batch, length) = "blocks.0.attn.", tokens.shape
    x = F.embedding(tokens, w["embed.W_E"]) + w["pos_embed.W_pos"][:length]  # [batch, seq, d_model]
    heads, d_model, d_head = w[attn + "W_Q"].shape
    # Query, key and value maps stand side by side: one product instead of three.
    W = torch.stack([w[attn + f"W_{part}"] for part in "QKV"]).permute(2, 0, 1, 3).reshape(d_model, -1).to(dtype)
    bias = torch.stack([w[attn + f"b_{part}"] for part in "QKV"]).reshape(-1).to(dtype)  # [3 * heads * d_head]
    qkv = torch.addmm(bias, normed(w, "blocks.0.ln1", x, dtype).view(-1, d_model), W)
    qkv = qkv.view(batch, length, 3, heads, d_head).permute(2, 0, 3, 1, 4)
    q, k, v = qkv.reshape(3, -1, length, d_head)  # each [batch * heads, seq, d_head]
    # Written out: for 128 positions on a CPU the gradient of the fused kernel takes three times as long.
    future = torch.full((length, length), -math.inf, dtype=dtype, device=q.device).triu(1)
    pattern = torch.baddbmm(future, q, k.mT, alpha=d_head**-0.5).softmax(-1)  # [batch * heads, seq, seq]
    z = (pattern @ v).view(batch, heads, length, d_head).transpose(1, 2).reshape(batch * length, -1)
    out = torch.addmm(w[attn + "b_O"].to(dtype), z, w[attn + "W_O"].reshape(-1, d_model).to(dtype))
    return x + out.view_as(x)


def neurons(w: Weights, x: Tensor, dtype: torch.dtype) -> Tensor:
    """mlp.hook_post for a residual stream after attention [batch, seq, d_model]. [batch, seq, d_mlp]"""
    h = normed(w, "blocks.0.ln2", x, dtype).view(-1, x.shape[-1])
    post = F.gelu(torch.addmm(w["blocks.0.mlp.b_in"].to(dtype), h, w["blocks.0.mlp.W_in"].to(dtype)))
    return post.view(*x.shape[:2], -1)


def residual_post(w: Weights, tokens: Tensor, dtype: torch.dtype) -> Tensor:
    """The residual stream after the block. tokens [batch, seq] -> [batch, seq, d_model] float32"""
    x = residual_mid(w, tokens, dtype)
    h = neurons(w, x, dtype).flatten(0, 1)  # [batch * seq, d_mlp]
    out = torch.addmm(w["blocks.0.mlp.b_out"].to(dtype), h, w["blocks.0.mlp.W_out"].to(dtype))
    return x + out.view_as(x)
