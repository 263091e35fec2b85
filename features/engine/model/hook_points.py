"""Which hook points does a model have, and how wide are they? From its config.json alone, no weight is read."""

import json
from pathlib import Path

SITES = {  # within a block -> which of the config's widths it has
    "mlp.hook_post": "mlp",
    "hook_mlp_out": "residual",
    "hook_resid_post": "residual",
    "hook_resid_mid": "residual",
    "hook_resid_pre": "residual",
    "hook_attn_out": "residual",
    "attn.hook_z": "heads",
}
# The names that families of models give to the same numbers.
LAYERS = ("n_layers", "n_layer", "num_hidden_layers", "num_layers")
RESIDUAL = ("d_model", "n_embd", "hidden_size")
HEADS = ("n_heads", "n_head", "num_attention_heads")
HEAD = ("d_head", "head_dim")
CONTEXT = ("n_ctx", "n_positions", "max_position_embeddings", "max_sequence_length")
MLP = ("d_mlp", "n_inner", "intermediate_size", "ffn_dim")


def hook_widths(folder) -> dict[str, int]:
    """{hook point: width}, last block first; empty where the config cannot be read or says too little.

    What is meant as candidates for a form; a loaded model has the last word.
    """
    config = _config(folder)
    layers, residual, heads = (_number(config, names) for names in (LAYERS, RESIDUAL, HEADS))
    if not layers or not residual:
        return {}
    head = _number(config, HEAD) or (residual // heads if heads else 0)
    widths = {
        "residual": residual,
        "heads": (heads or 0) * head,
        "mlp": 0 if config.get("attn_only") else _number(config, MLP) or 4 * residual,
    }
    return {
        f"blocks.{layer}.{site}": widths[kind]
        for layer in reversed(range(layers))
        for site, kind in SITES.items()
        if widths[kind]
    }


def hooks_of_width(folder, width: int) -> list[str]:
    """The hook points at which an SAE over `width` values can be read, likeliest first."""
    return [hook for hook, wide in hook_widths(folder).items() if wide == width]


def context_length(folder) -> int | None:
    """Tokens that the model reads at most; None where the config does not say."""
    return _number(_config(folder), CONTEXT)


def _config(folder) -> dict:
    try:
        config = json.loads((Path(folder) / "config.json").read_text())
    except (OSError, ValueError):
        return {}
    return config.get("text_config", config) if isinstance(config, dict) else {}


def _number(config: dict, names) -> int | None:
    found = (config.get(name) for name in names)
    return next((value for value in found if isinstance(value, int) and value > 0), None)
