"""The small model and its SAE in float64, one sequence and one head at a time; every number from the reference.

Nothing here is shared with the engine's fast ways but the weights it is given.
"""

from dataclasses import dataclass

import numpy as np
import torch
from safetensors.torch import load_file
from torch.nn.functional import layer_norm

from features.engine import reference


def unembedding_of(head) -> reference.Unembedding:
    """The engine's unembedding, whose norm's gain and bias are folded in, as the reference takes it."""
    norm = ("LN" if head.centred else "RMS") if head.normed else None
    return reference.Unembedding(head.U.double(), head.b.double(), norm=norm, eps=head.eps, cap=head.cap)


@dataclass
class Twin:
    """A one-block model and an SAE in float64."""

    model: dict  # name -> float64 tensor, as stored
    sae: dict
    eps: float = 1e-5

    @classmethod
    def read(cls, folder):
        def doubles(path):
            return {name: weight.double() for name, weight in load_file(path).items()}

        return cls(doubles(folder / "model/model.safetensors"), doubles(folder / "sae/sae_weights.safetensors"))

    def norm(self, x, name):
        return layer_norm(x, x.shape[-1:], self.w(f"{name}.w"), self.w(f"{name}.b"), self.eps)

    def w(self, name):
        return self.model[name]

    def attention(self, x):
        """Head after head, query after query."""
        out = torch.zeros_like(x) + self.w("blocks.0.attn.b_O")
        for head in range(self.w("blocks.0.attn.W_Q").shape[0]):
            q, k, v = (x @ self.w(f"blocks.0.attn.W_{n}")[head] + self.w(f"blocks.0.attn.b_{n}")[head] for n in "QKV")
            for t in range(len(x)):
                weights = (q[t] @ k[: t + 1].T / q.shape[1] ** 0.5).softmax(0)
                out[t] = out[t] + weights @ v[: t + 1] @ self.w("blocks.0.attn.W_O")[head]
        return out

    def run(self, ids, change=None):
        """(hook_post, final residual) of one sequence; `change` may replace hook_post."""
        x = self.w("embed.W_E")[ids] + self.w("pos_embed.W_pos")[: len(ids)]
        x = x + self.attention(self.norm(x, "blocks.0.ln1"))
        pre = self.norm(x, "blocks.0.ln2") @ self.w("blocks.0.mlp.W_in") + self.w("blocks.0.mlp.b_in")
        post = pre * 0.5 * (1 + torch.erf(pre / 2**0.5))
        used = post if change is None else change(post)
        return post, x + used @ self.w("blocks.0.mlp.W_out") + self.w("blocks.0.mlp.b_out")

    @property
    def unembedding(self):
        names = "unembed.W_U", "unembed.b_U", "ln_final.w", "ln_final.b"
        return reference.Unembedding(*map(self.w, names), norm="LN", eps=self.eps)

    @property
    def directions(self):
        return reference.output_directions(self.sae["W_dec"], self.w("blocks.0.mlp.W_out"))

    def losses(self, ids, change=None):
        """Loss of each token but the first, by a whole forward pass. [tokens - 1]"""
        return reference.losses(self.run(ids, change)[1][:-1], ids[1:], self.unembedding)

    def encode(self, h):
        return reference.encode(h, self.sae["W_enc"], self.sae["b_enc"], b_pre=self.sae["b_dec"])

    def decode(self, f):
        return reference.decode(f, self.sae["W_dec"], self.sae["b_dec"])

    def loss_effects(self, ids):
        """Of every feature on the token before, under the predicted token. [tokens, d_sae]"""
        h, x = self.run(ids)
        return reference.prompt_loss_effects(x, ids, self.encode(h), self.directions, self.unembedding)

    def logit_effects(self, feature):
        return reference.logit_effects(self.directions[feature], self.unembedding)  # [d_vocab]


@dataclass
class DenseCorpus:
    """Every activation of every counted token, dense."""

    h: torch.Tensor  # [tokens, d_in] float64
    f: torch.Tensor  # [tokens, d_sae] float64
    rows: torch.Tensor  # [tokens]
    positions: torch.Tensor  # [tokens]

    @classmethod
    def of(cls, twin, rows, special=(0, 1, 2)):
        ids = torch.from_numpy(rows.astype(np.int64))
        counted = reference.counted(ids, special)
        h = torch.stack([twin.run(row)[0] for row in ids])[counted]
        return cls(h, twin.encode(h), *counted.nonzero().T)
