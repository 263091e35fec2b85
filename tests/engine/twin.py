"""The slow, obvious way to every figure of a feature: dense, float64, one thing at a time.

Nothing here is shared with the engine but the weights it is given.
"""

from dataclasses import dataclass

import numpy as np
import torch
from safetensors.torch import load_file


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
        centred = x - x.mean(-1, keepdim=True)
        return centred / (centred.pow(2).mean(-1, keepdim=True) + self.eps).sqrt() * self.w(f"{name}.w") + self.w(
            f"{name}.b"
        )

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

    def logits(self, x):
        return self.norm(x, "ln_final") @ self.w("unembed.W_U") + self.w("unembed.b_U")

    def losses(self, ids, change=None):
        """Loss of each token but the first, by a whole forward pass. [tokens - 1]"""
        logits = self.logits(self.run(ids, change)[1])[:-1]
        return -logits.log_softmax(-1)[torch.arange(len(ids) - 1), ids[1:]]

    def encode(self, h):
        return ((h - self.sae["b_dec"]) @ self.sae["W_enc"] + self.sae["b_enc"]).clamp_min(0)

    def decode(self, f):
        return f @ self.sae["W_dec"] + self.sae["b_dec"]

    def loss_effect(self, ids, position, feature):
        """Brute force: the forward pass again with the feature taken out at one position."""
        activation = self.encode(self.run(ids)[0])[position, feature]

        def ablate(post):
            post = post.clone()
            post[position] -= activation * self.sae["W_dec"][feature]
            return post

        return float(self.losses(ids)[position] - self.losses(ids, ablate)[position])

    def logit_effects(self, feature):
        """Output direction through the final norm's gain, its mean taken out, to every vocabulary entry."""
        direction = self.sae["W_dec"][feature] @ self.w("blocks.0.mlp.W_out")
        return (direction - direction.mean()) * self.w("ln_final.w") @ self.w("unembed.W_U")


@dataclass
class DenseCorpus:
    """Every activation of every counted token, dense."""

    h: np.ndarray  # [tokens, d_in] float64
    f: np.ndarray  # [tokens, d_sae] float64
    rows: np.ndarray  # [tokens]
    positions: np.ndarray  # [tokens]

    @classmethod
    def of(cls, twin, rows, special=(0, 1, 2)):
        h, f, at = [], [], []
        for n, row in enumerate(rows):
            ids = torch.from_numpy(row.astype(np.int64))
            post = twin.run(ids)[0]
            for position in range(len(row)):
                if row[position] not in special:
                    h.append(post[position].numpy())
                    at.append((n, position))
            f = np.array(h)
        f = twin.encode(torch.from_numpy(np.array(h))).numpy()
        at = np.array(at)
        return cls(np.array(h), f, at[:, 0], at[:, 1])
