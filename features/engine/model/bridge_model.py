"""Any model that transformer_lens opens: where it can be read, and what is read off it beside activations.

What it computes is transformers' own (or, for models in transformer_lens's names, its own). Final norm, logits and ways
into the residual stream are read off its modules here, and held against what it computes by `model_check.py`.
"""

import contextlib
import threading
from functools import partial

import torch
from torch import Tensor

from .config import ModelError
from .hook_points import SITES, layer_and_site
from .norm import Norm, UnreadableNorm
from .unembedding import Unembedding, read_unembedding

PROBED = (2, 12)  # random ids that say which hook points there are, and what becomes of the logits


class _Reached(Exception):
    """Ends a forward pass at the hook point: transformer_lens 4.3 cannot stop inside the last block."""


class BridgeModel:
    """Any model that transformer_lens opens."""

    def __init__(self, bridge, name: str = "", notes=(), ids: Tensor | None = None, logits: Tensor | None = None):
        """`logits` [n, seq, d_vocab] are what the model's own library computes of `ids`, where that is known."""
        self.bridge, self.name, self.notes, self.ids, self.own_logits = bridge.eval(), name, tuple(notes), ids, logits
        self._norms = {}  # by their module's id
        self._one_at_a_time = threading.Lock()  # hooks hang on the modules: two passes would see each other's
        c = bridge.cfg
        self.n_layers, self.n_ctx, self.d_model = c.n_layers, c.n_ctx, c.d_model
        self.d_vocab = bridge.W_U.shape[1]
        # Seen once: where it can be read, and what it makes of its last residual.
        seen, logits = self.everything(_random_ids(self))
        if self._last not in seen:
            raise ModelError(
                f"transformer_lens shows no residual stream behind the last block of {name or 'this model'}."
            )
        self.hook_points = self._found(seen)
        self.unembedding = self._read_unembedding(seen[self._last], logits)

    @property
    def device(self):
        return next(self.bridge.parameters()).device

    @property
    def _last(self) -> str:
        """The residual behind the last block: from here `Unembedding` takes over, final norm included."""
        return f"blocks.{self.n_layers - 1}.hook_resid_post"

    # Where it is read

    @torch.no_grad()
    def everything(self, tokens: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Activations [batch, seq, d_in] at all hook points, and the logits [batch, seq, d_vocab]."""
        seen = {}

        def keep(value, hook, name):
            seen[name] = _flat(value.detach(), tokens).clone()

        names = [f"blocks.{layer}.{site}" for layer in range(self.n_layers) for site in SITES]
        hooks = [(name, partial(keep, name=name)) for name in names if name in self.bridge.hook_dict]
        with self._one_at_a_time:
            logits = self.bridge.run_with_hooks(tokens.to(self.device), fwd_hooks=hooks, prepend_bos=False)
        return seen, logits.float()

    def _found(self, seen: dict[str, Tensor]) -> dict[str, int]:
        """{hook point: width} of those that were seen and are what their name says, in the order of the forward."""
        return {name: value.shape[-1] for name, value in seen.items() if self._is_what_it_says(name, value, seen)}

    def _is_what_it_says(self, name: str, value: Tensor, seen: dict[str, Tensor]) -> bool:
        layer, site = layer_and_site(name)
        if SITES[site].component:  # neurons and heads are what output weights are multiplied with
            W = self._output_weights(name)
            return W is not None and W.shape == (value.shape[-1], self.d_model)
        if site == "hook_resid_mid":  # what attention left in the stream: blocks of some families have no such place
            parts = [seen.get(f"blocks.{layer}.{part}") for part in ("hook_resid_pre", "hook_attn_out")]
            return all(part is not None for part in parts) and torch.allclose(value, sum(parts), 1e-4, 1e-4)
        return value.shape[-1] == self.d_model

    # What is read off it

    def output_map(self, hook: str) -> Tensor | None:
        """[d_in, d_model]: what the entries of a hook point write into the residual stream; None for themselves.

        Where a norm follows, that is with its gain and before its division: see `output_scale`.
        """
        if not SITES[layer_and_site(hook)[1]].component:
            return None
        W, norm, factor = self._output_weights(hook), self._norm_after(hook), self._factor(hook)
        W = W if norm is None else norm.through(W)
        return W if factor == 1 else W * factor

    def output_scale(self, hook: str, h: Tensor) -> Tensor | None:
        """What a norm that follows the hook point divides by, as it was for activations h; None without such a norm.
        [..., d_in] -> [...]"""
        norm = self._norm_after(hook)
        return None if norm is None else norm.scale(self._written(hook, h))

    def _written(self, hook: str, h: Tensor) -> Tensor:
        """What the component's output weights and bias make of activations. [..., d_in] -> [..., d_model]"""
        written = h @ self._output_weights(hook)
        bias = self._output_bias(hook)
        return written if bias is None else written + bias

    def contribution(self, hook: str, h: Tensor) -> Tensor:
        """What is added to the residual stream for activations h. [..., d_in] -> [..., d_model]"""
        if not SITES[layer_and_site(hook)[1]].component:
            return h
        written, norm = self._written(hook, h), self._norm_after(hook)
        return self._factor(hook) * (written if norm is None else norm(written))

    def norm_follows(self, hook: str) -> bool:
        """Whether what the hook point writes goes through a norm before it joins the residual stream."""
        return self._norm_after(hook) is not None

    def _component(self, hook: str):
        layer, site = layer_and_site(hook)
        block, name = self.bridge.blocks[layer], SITES[site].component
        return block, name, name and getattr(block, name, None)

    def _output_weights(self, hook: str) -> Tensor | None:
        """[d_in, d_model]; None where the component has none of its own (a mixture of experts)."""
        _, name, component = self._component(hook)
        # transformer_lens raises one of these for a component of another kind.
        with contextlib.suppress(AttributeError, KeyError, RuntimeError, ValueError, TypeError):
            if name == "mlp":
                return component.W_out.detach().float()
            # [n_heads, d_head, d_model]: a row for each entry of hook_z, heads side by side.
            return component.W_O.detach().float().flatten(0, 1)  # [n_heads * d_head, d_model]
        return None

    def _output_bias(self, hook: str) -> Tensor | None:
        _, name, component = self._component(hook)
        bias = None
        with contextlib.suppress(AttributeError, KeyError, RuntimeError, ValueError, TypeError):
            bias = component.b_out if name == "mlp" else component.b_O
        return None if bias is None else bias.detach().float()

    def _norm_after(self, hook: str) -> Norm | None:
        block, name, _ = self._component(hook)
        bridge = getattr(block, {"attn": "ln1_post", "mlp": "ln2_post"}[name], None) if name else None
        return None if bridge is None else self._norm(bridge)

    def _factor(self, hook: str) -> float:
        """What the block multiplies with before it adds to the residual stream (Granite's residual_multiplier)."""
        block, name, _ = self._component(hook)
        return float(getattr(block, "residual_contribution_scale", 1.0)) if name else 1.0

    def _norm(self, bridge) -> Norm | None:
        if id(bridge) not in self._norms:
            self._norms[id(bridge)] = Norm.read(bridge.original_component, self.d_model, self.device)
        return self._norms[id(bridge)]

    def _read_unembedding(self, residual: Tensor, logits: Tensor) -> Unembedding:
        try:
            norm = self._norm(self.bridge.ln_final) if hasattr(self.bridge, "ln_final") else None
        except UnreadableNorm:  # the check says that the logits are not the model's
            norm = None
        bias = getattr(self.bridge, "b_U", None)
        return read_unembedding(
            self.bridge.W_U.detach().float(),
            None if bias is None else bias.detach().float(),
            norm,
            residual,
            logits,
            self._numbers(),
        )

    def _numbers(self) -> dict[str, float]:
        """The numbers that the model's config states."""
        config = getattr(self.bridge.original_model, "config", None)
        stated = config.to_dict() if hasattr(config, "to_dict") else {}
        stated |= stated.get("text_config") or {}
        return {name: float(value) for name, value in stated.items() if type(value) in (int, float) and value}

    # How it is run

    @torch.no_grad()
    def activations(self, tokens: Tensor, hook: str) -> Tensor:
        kept = {}

        def keep(value, hook):
            kept["h"] = value.detach()
            raise _Reached

        with self._one_at_a_time, contextlib.suppress(_Reached):
            self.bridge.run_with_hooks(tokens, fwd_hooks=[(hook, keep)], prepend_bos=False)
        return _flat(kept["h"], tokens)

    @torch.no_grad()
    def activations_at(self, tokens: Tensor, hooks: list[str], at: Tensor) -> dict[str, Tensor]:
        kept, rest = {}, {}

        def keep(value, hook, name):
            kept[name] = _flat(value.detach(), tokens)[at]

        self._until_the_end(tokens, [(name, partial(keep, name=name)) for name in hooks], rest)
        return kept

    @torch.no_grad()
    def activations_and_residual(self, tokens: Tensor, hook: str) -> tuple[Tensor, Tensor]:
        kept = {}
        self._until_the_end(tokens, [(hook, _keeper(kept))], kept)
        return _flat(kept["h"], tokens), kept["x"]

    @torch.no_grad()
    def residual_with(self, tokens: Tensor, hook: str, replace) -> Tensor:
        kept = {}

        def put(value, hook):
            # The SAE reads heads side by side; the model wants them back as a dimension of their own.
            return replace(_flat(value, tokens)).view(value.shape)

        def put_middle(value, hook):
            # hook_resid_mid = resid_pre + attn_out: with this attn_out the stream carries replace(resid_mid) on.
            return replace(kept["h"] + value) - kept["h"]

        if hook.endswith("hook_resid_mid"):
            # transformer_lens 4.3 hangs this hook on the norm's input alone; the skip connection would not see it.
            block = hook.removesuffix("hook_resid_mid")
            hooks = [(block + "hook_resid_pre", _keeper(kept)), (block + "hook_attn_out", put_middle)]
        else:
            hooks = [(hook, put)]
        self._until_the_end(tokens, hooks, kept)
        return kept["x"]

    def _until_the_end(self, tokens: Tensor, hooks: list, kept: dict) -> None:
        """Run to the last residual, which is put into `kept`; the unembedding is left out."""

        def end(value, hook):
            kept["x"] = value.detach()
            raise _Reached

        with self._one_at_a_time, contextlib.suppress(_Reached):
            self.bridge.run_with_hooks(tokens, fwd_hooks=[*hooks, (self._last, end)], prepend_bos=False)


def _random_ids(model: BridgeModel) -> Tensor:
    rows, length = PROBED
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, model.d_vocab, (rows, min(length, model.n_ctx)), generator=generator)


def _keeper(kept: dict):
    """A hook that keeps what it sees."""

    def keep(value, hook):
        kept["h"] = value.detach().clone()

    return keep


def _flat(value: Tensor, tokens: Tensor) -> Tensor:
    """Heads side by side: hook_z has them as a dimension of their own. [batch, seq, d_in]"""
    return value.reshape(*tokens.shape, -1).float()
