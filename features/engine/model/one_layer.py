"""A one-block transformer in transformer_lens's parameter names, run directly.

Stops at the hook point, where transformer_lens 4.3 would run a one-layer model to the logits, and needs
neither its seconds of import nor its memory. Equal to transformer_lens by a test.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from . import hook_points, tl_layout
from .hook_points import SITES
from .unembedding import Unembedding

SETTINGS = {"n_layers": 1, "act_fn": "gelu", "normalization_type": "LN"}  # of all models of this kind
NEEDED = ("d_model", "n_heads", "d_head", "d_vocab", "n_ctx")  # that no model of this kind leaves out


@dataclass(frozen=True)
class OneBlockConfig:
    """The part of a model's config.json that a one-block forward needs."""

    d_model: int
    n_heads: int
    d_head: int
    d_mlp: int
    d_vocab: int
    n_ctx: int
    eps: float = 1e-5

    @classmethod
    def read(cls, config: dict) -> "OneBlockConfig | None":
        """None when the model is not of this kind: more layers, another norm, activation or position code. Raises
        ModelError for settings that would change the model and are not read, and for those that are missing."""
        fits = (
            config.get("n_layers") == 1
            and config.get("act_fn") == "gelu"
            and config.get("normalization_type") == "LN"
            and config.get("positional_embedding_type", "standard") == "standard"
            and not config.get("attn_only", False)
        )
        if not fits:
            return None
        tl_layout.check_settings(config)
        sizes = tl_layout.stated(config, NEEDED)
        eps = {} if config.get("eps") is None else {"eps": config["eps"]}
        return cls(**sizes, d_mlp=tl_layout.mlp_width(config), **eps)


class OneBlockModel:
    """Embedding, attention, MLP, each with LayerNorm in front; final LayerNorm and unembedding as `unembedding`."""

    n_layers = 1

    own_logits = ids = None  # this is the model's own formula: a test holds it to transformer_lens's

    def __init__(self, config: OneBlockConfig, weights: dict[str, Tensor], name: str = "", notes=()):
        self.config, self.name, self.notes = config, name, tuple(notes)
        self.n_ctx, self.d_model, self.d_vocab = config.n_ctx, config.d_model, config.d_vocab
        block = "blocks.0."
        self.weights = {key.removeprefix(block): weight for key, weight in weights.items()}
        # What is folded or joined below is taken out, so that no weight is held twice.
        take = self.weights.pop
        # GELU-1L's file has no b_U; transformer_lens takes zeros then, and so does `fold`.
        self.unembedding = Unembedding.fold(
            take("unembed.W_U"), take("unembed.b_U", None), take("ln_final.w"), take("ln_final.b"), config.eps
        )
        self.qkv, self.qkv_bias = self._joined_projections()
        # [n_heads * d_head, d_model]: a row for each entry of hook_z, whose heads lie side by side.
        self.W_O = rearrange(take("attn.W_O"), "head d_head d_model -> (head d_head) d_model").contiguous()

    @classmethod
    def load(cls, folder, config: OneBlockConfig, device: str = "cpu") -> "OneBlockModel":
        """From `model.safetensors` in `folder`; stored halves are computed in float32 (a CPU has no fp16)."""
        weights, notes = tl_layout.read_weights(folder, SETTINGS | asdict(config), device)
        return cls(config, weights, Path(folder).name, notes)

    @property
    def device(self):
        return self.W_O.device

    @property
    def hook_points(self) -> dict[str, int]:
        """Names and widths of the hook points it can be read at."""
        c = self.config
        return hook_points.of_blocks(1, {"attn": c.n_heads * c.d_head, "mlp": c.d_mlp, None: c.d_model})

    def output_map(self, hook: str) -> Tensor | None:
        """What carries the hook's activations into the residual stream: [d_in, d_model], or None for itself."""
        component = SITES[hook.removeprefix("blocks.0.")].component
        return {"attn": self.W_O, "mlp": self.weights["mlp.W_out"], None: None}[component]

    def norm_follows(self, hook: str) -> bool:
        """Whether what the hook point writes goes through a norm before it joins the residual stream."""
        return False

    def output_scale(self, hook: str, h: Tensor) -> Tensor | None:
        """What such a norm divides by: there is none."""
        return None

    @torch.no_grad()
    def activations(self, tokens: Tensor, hook: str) -> Tensor:
        """Activations at the hook point, nothing after it run. tokens [batch, seq] -> [batch, seq, d_in]"""
        return self._run(tokens, hook)[0]

    @torch.no_grad()
    def activations_at(self, tokens: Tensor, hooks: list[str], at: Tensor) -> dict[str, Tensor]:
        """Activations at several hook points where the mask `at` [batch, seq] is True. [n, d_in] each"""
        return {hook: self.activations(tokens, hook)[at] for hook in hooks}

    @torch.no_grad()
    def activations_and_residual(self, tokens: Tensor, hook: str) -> tuple[Tensor, Tensor]:
        """Activations at the hook point and the final residual. [batch, seq, d_in], [batch, seq, d_model]"""
        h, rest = self._run(tokens, hook)
        return h, rest(h)

    @torch.no_grad()
    def residual_with(self, tokens: Tensor, hook: str, replace) -> Tensor:
        """The final residual when `replace(h)` stands at the hook point. [batch, seq, d_model]"""
        h, rest = self._run(tokens, hook)
        return rest(replace(h))

    def _run(self, tokens: Tensor, hook: str):
        """(activations at the hook, the function from them to the final residual)."""
        site = hook.removeprefix("blocks.0.")
        # Learned absolute positions: the n-th token of every row gets W_pos[n] added. [batch, seq, d_model]
        embedded = self.weights["embed.W_E"][tokens] + self.weights["pos_embed.W_pos"][: tokens.shape[1]]
        # In the order of the forward pass: each site returns before anything behind it is computed.
        if site == "hook_resid_pre":
            # What stands here is read by attention and carried past it by the skip connection.
            return embedded, lambda h: self._after_attention(h + self._out(self._heads(h)))
        heads = self._heads(embedded)  # [batch, seq, n_heads * d_head]
        if site == "attn.hook_z":
            return heads, lambda h: self._after_attention(embedded + self._out(h))
        if site == "hook_attn_out":
            return self._out(heads), lambda h: self._after_attention(embedded + h)
        middle = embedded + self._out(heads)  # [batch, seq, d_model]
        if site == "hook_resid_mid":
            return middle, self._after_attention
        post = self._neurons(middle)  # [batch, seq, d_mlp]
        if site == "mlp.hook_post":
            return post, lambda h: middle + self._mlp_out(h)
        if site == "hook_mlp_out":
            return self._mlp_out(post), lambda h: middle + h
        if site == "hook_resid_post":
            return middle + self._mlp_out(post), lambda h: h
        raise KeyError(f"No hook point {hook!r} in a one-block model; it has {', '.join(self.hook_points)}.")

    def _norm(self, x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.weights[f"{name}.w"], self.weights[f"{name}.b"], self.config.eps)

    def _heads(self, x: Tensor) -> Tensor:
        """Attention up to hook_z, heads flattened. [batch, seq, n_heads * d_head]"""
        # Columns: all heads of the queries, then of the keys, then of the values.
        mixed = _affine(self._norm(x, "ln1"), self.qkv, self.qkv_bias)  # [batch, seq, 3 * n_heads * d_head]
        q, k, v = rearrange(mixed, "b s (three h e) -> three b h s e", three=3, h=self.config.n_heads)
        # It divides scores by sqrt(d_head), which is transformer_lens's attention scale.
        return rearrange(F.scaled_dot_product_attention(q, k, v, is_causal=True), "b h s e -> b s (h e)")

    def _out(self, heads: Tensor) -> Tensor:
        return _affine(heads, self.W_O, self.weights["attn.b_O"])

    def _neurons(self, middle: Tensor) -> Tensor:
        # "gelu" in transformer_lens is the exact one (erf), not the tanh approximation of GPT-2 ("gelu_new").
        return F.gelu(_affine(self._norm(middle, "ln2"), self.weights["mlp.W_in"], self.weights["mlp.b_in"]))

    def _mlp_out(self, post: Tensor) -> Tensor:
        return _affine(post, self.weights["mlp.W_out"], self.weights["mlp.b_out"])

    def _after_attention(self, middle: Tensor) -> Tensor:
        return middle + self._mlp_out(self._neurons(middle))

    def _joined_projections(self) -> tuple[Tensor, Tensor]:
        """Query, key and value maps side by side: one product instead of three."""
        # Heads come first as stored: W_Q [n_heads, d_model, d_head], b_Q [n_heads, d_head].
        W = [rearrange(self.weights.pop(f"attn.W_{n}"), "h d e -> d (h e)") for n in "QKV"]
        b = [rearrange(self.weights.pop(f"attn.b_{n}"), "h e -> (h e)") for n in "QKV"]
        return torch.cat(W, 1).contiguous(), torch.cat(b)


def _affine(x: Tensor, W: Tensor, b: Tensor) -> Tensor:
    """x W + b in one step. x [..., n], W [n, m] -> [..., m]"""
    return torch.addmm(b, x.flatten(0, -2), W).view(*x.shape[:-1], -1)
