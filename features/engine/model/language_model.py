"""A language model from a folder. The only file that names transformer_lens.

One-block models in transformer_lens's own layout are run directly (`one_layer.py`); every other model goes
through transformer_lens. Both answer the same calls:

    activations(tokens, hook)               [batch, seq] -> [batch, seq, d_in]; nothing after the hook is run
    activations_at(tokens, hooks, at)       of several hook points in one pass, where the mask `at` [batch, seq] is True
    activations_and_residual(tokens, hook)  the same and the final residual [batch, seq, d_model]
    residual_with(tokens, hook, replace)    the final residual when replace(h) stands at the hook
    output_map(hook)                        [d_in, d_model] into the residual stream; None for itself
    unembedding, hook_points, n_ctx, n_layers, d_model, d_vocab, name, device
"""

import contextlib
import threading
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from . import hook_points
from .config import ModelError, read_config
from .hook_points import SITES, layer_and_site
from .one_layer import OneBlockConfig, OneBlockModel
from .unembedding import Unembedding

WEIGHTS = "model.safetensors"


class _Reached(Exception):
    """Ends a forward pass at the hook point: transformer_lens 4.3 cannot stop inside the last block."""


def device_named(device: str) -> str:
    """The device for "auto": a GPU where there is one. Raises ModelError for a GPU that is not there."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ModelError(f"Device {device!r} was asked for, but PyTorch sees no GPU. Use 'cpu' or 'auto'.")
    return device


def load_model(folder, device: str = "auto"):
    """Open the model in `folder` on `device`, in float32.

    The folder holds either transformer_lens's names (`config.json` with n_layers ..., `model.safetensors`,
    `tokenizer.json`) or a Hugging Face checkpoint. No hub is asked. Raises ModelError naming what is missing
    or does not fit.
    """
    folder, device = Path(folder), device_named(device)
    config = read_config(folder)
    try:
        small = OneBlockConfig.read(config)
        if small:
            return OneBlockModel.load(folder, small, device)
        return BridgeModel(_boot(folder, config, device), folder.name)
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise ModelError(f"The model in {folder} cannot be loaded: {error}") from error
    except Exception as error:  # safetensors raises its own bare class for damaged files
        if type(error).__name__ != "SafetensorError":
            raise
        raise ModelError(f"The weights in {folder / WEIGHTS} are damaged: {error}") from error


class BridgeModel:
    """Any model that transformer_lens opens."""

    def __init__(self, bridge, name: str = ""):
        self.bridge, self.name = bridge.eval(), name
        self._one_at_a_time = threading.Lock()  # hooks hang on the modules: two passes would see each other's
        c = bridge.cfg
        self.n_layers, self.n_ctx, self.d_model, self.d_vocab = c.n_layers, c.n_ctx, c.d_model, c.d_vocab
        self.unembedding = _unembedding_of(bridge)

    @property
    def device(self):
        return next(self.bridge.parameters()).device

    @property
    def hook_points(self) -> dict[str, int]:
        """Names and widths of the hook points it can be read at."""
        c = self.bridge.cfg
        return hook_points.of_blocks(self.n_layers, {"attn": c.n_heads * c.d_head, "mlp": c.d_mlp, None: c.d_model})

    def output_map(self, hook: str) -> Tensor | None:
        layer, site = layer_and_site(hook)
        block, component = self.bridge.blocks[layer], SITES[site].component
        if component == "mlp":
            return block.mlp.W_out.detach().float()
        if component == "attn":
            # [n_heads, d_head, d_model]: a row for each entry of hook_z, heads side by side.
            return block.attn.W_O.detach().float().flatten(0, 1)  # [n_heads * d_head, d_model]
        return None

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
            kept["h"] = value
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

        # The residual behind the last block: from here `Unembedding` takes over, final norm included.
        last = f"blocks.{self.n_layers - 1}.hook_resid_post"
        with self._one_at_a_time, contextlib.suppress(_Reached):
            self.bridge.run_with_hooks(tokens, fwd_hooks=[*hooks, (last, end)], prepend_bos=False)


def _keeper(kept: dict):
    """A hook that keeps what it sees."""

    def keep(value, hook):
        kept["h"] = value.detach().clone()

    return keep


def _flat(value: Tensor, tokens: Tensor) -> Tensor:
    """Heads side by side: hook_z has them as a dimension of their own. [batch, seq, d_in]"""
    return value.reshape(*tokens.shape, -1).float()


def _unembedding_of(bridge) -> Unembedding:
    # LN has gain and bias, RMS a gain alone; those of LNPRE and RMSPRE are folded into W_U already.
    kind = (bridge.cfg.normalization_type or "").upper()
    norm = bridge.ln_final if kind else None
    return Unembedding.fold(
        bridge.W_U.detach().float(),
        bridge.b_U.detach().float() if getattr(bridge, "b_U", None) is not None else None,
        norm.weight.detach().float() if norm is not None and not kind.endswith("PRE") else None,
        norm.bias.detach().float() if norm is not None and kind == "LN" else None,
        bridge.cfg.eps,
        centred=kind.startswith("LN"),
        normed=bool(kind),
    )


def _boot(folder: Path, config: dict, device: str):
    """A transformer_lens bridge from local files alone."""
    from transformer_lens.model_bridge import TransformerBridge

    # Some Hugging Face configs have n_layers too, but their activation is activation_function or hidden_act.
    if "n_layers" in config and "act_fn" in config:
        return _boot_native(folder, config, device)
    return TransformerBridge.boot_transformers(str(folder), device=device)


def _boot_native(folder: Path, config: dict, device: str):
    """A model in transformer_lens's own names; the file may leave out the unembedding's bias."""
    from safetensors.torch import load_file
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge.sources.native import boot
    from transformer_lens.utilities.tl_checkpoint_conversion import convert_tl_checkpoint
    from transformers import PreTrainedTokenizerFast

    names = ("d_model", "n_layers", "d_mlp", "d_head", "n_heads", "n_ctx", "d_vocab", "act_fn", "attn_only")
    bridge_config = TransformerBridgeConfig(
        **{name: config[name] for name in names if name in config},
        normalization_type=config.get("normalization_type", "LN"),
        positional_embedding_type=config.get("positional_embedding_type", "standard"),
        eps=config.get("eps", 1e-5),
        architecture="TransformerLensNative",
        init_weights=False,
    )
    # From the folder: made of a tokenizer_file it lacks name_or_path, a KeyError in transformer_lens 4.3.
    tokenizer = PreTrainedTokenizerFast.from_pretrained(str(folder))
    bridge = boot(bridge_config, tokenizer=tokenizer, device=device, model_name=folder.name)
    weights = {name: weight.float() for name, weight in load_file(str(folder / WEIGHTS)).items()}
    state = convert_tl_checkpoint(weights, bridge_config)
    # Files in transformer_lens's names may have no unembed.b_U (GELU-1L's has none), which a strict load asks for.
    state.setdefault("unembed.bias", torch.zeros(config["d_vocab"]))
    bridge.load_state_dict(state, strict=True)
    return bridge
