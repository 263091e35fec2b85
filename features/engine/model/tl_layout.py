"""A model in transformer_lens's own names: which settings of its config are read here, and which tensors are its own?

Settings are those of transformer_lens's HookedTransformerConfig. One that would change the model and is not read here
is refused by its name: neither this engine's forward nor transformer_lens's own (`sources.native` in 4.3) reads all.
"""

import math
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from ..prefixes import shared_prefixes, without_prefix
from .config import ModelError

WEIGHTS = "model.safetensors"
READ = {
    *("d_model", "n_layers", "d_mlp", "d_head", "n_heads", "n_ctx", "d_vocab", "eps"),
    *("act_fn", "attn_only", "normalization_type", "positional_embedding_type"),
}
OFF = (
    *("parallel_attn_mlp", "gated_mlp", "final_rms", "use_local_attn", "post_embedding_ln", "use_qk_norm"),
    *("use_normalization_before_and_after", "scale_attn_by_inverse_layer_idx", "use_NTK_by_parts_rope"),
    *("tie_word_embeddings", "load_in_4bit", "rmsnorm_uses_offset", "uses_rms_norm", "layer_norm_folding"),
    "rotary_adjacent_pairs",
)
HARMLESS = {  # at these values a setting changes nothing
    **dict.fromkeys(OFF, (False,)),
    **dict.fromkeys(("attn_scores_soft_cap", "output_logits_soft_cap"), (-1, 0)),
    "use_attn_scale": (True,),
    "attention_dir": ("causal",),
    "rotary_base": (10000,),
    "num_experts": (0,),
    "rope_scaling": ({},),
}
WITHOUT_EFFECT = {  # on what the model computes from token ids
    *("model_name", "tokenizer_name", "architectures", "architecture", "original_architecture", "model_type"),
    *("transformers_version", "_name_or_path", "dtype", "torch_dtype", "device", "n_devices", "seed", "n_params"),
    *("init_mode", "init_weights", "initializer_range", "trust_remote_code", "decoder_start_token_id"),
    *("from_checkpoint", "checkpoint_index", "checkpoint_value", "checkpoint_label_type"),
    *("default_prepend_bos", "tokenizer_prepends_bos", "tokenizer_appends_eos", "default_padding_side"),
    *("bos_token_id", "eos_token_id", "pad_token_id", "use_attn_result", "use_split_qkv_input", "use_attn_in"),
    *("use_hook_mlp_in", "use_hook_tokens", "ungroup_grouped_query_attention", "experts_per_token", "window_size"),
    *("relative_attention_max_distance", "relative_attention_num_buckets", "NTK_original_ctx_len"),
    *("NTK_by_parts_low_freq_factor", "NTK_by_parts_high_freq_factor", "NTK_by_parts_factor"),
}
BUFFERS = (".mask", ".IGNORE")  # constants that transformer_lens once stored with the weights


def is_own(config: dict) -> bool:
    """Whether a config.json is transformer_lens's."""
    # Some Hugging Face configs have n_layers too, but their activation is activation_function or hidden_act.
    return "n_layers" in config and "act_fn" in config


def check_settings(config: dict) -> None:
    """Raises ModelError that names every setting which would change the model and is not read here."""
    wrong = [name for name, value in config.items() if not _is_harmless(name, value, config)]
    if wrong:
        said = ", ".join(f"{name} = {config[name]!r}" for name in wrong)
        usual = "; ".join(f"{name} is read as {_usual(name, config)}" for name in wrong if _usual(name, config))
        raise ModelError(
            f"config.json says {said}, which is not read here{f' ({usual})' if usual else ''}: the figures would be "
            "those of another model. Take out what does not change the model; for the rest save the model in Hugging "
            "Face's form."
        )


def _is_harmless(name: str, value, config: dict) -> bool:
    if name in READ or name in WITHOUT_EFFECT or value is None:
        return True
    return value in _allowed(name, config)


def _allowed(name: str, config: dict) -> tuple:
    """The values at which a setting changes nothing in this model."""
    d_head, n_heads = config.get("d_head"), config.get("n_heads")
    depending = {
        # What transformer_lens fills in where it saves a config.
        "attn_scale": (-1, math.sqrt(d_head) if isinstance(d_head, int) and d_head > 0 else -1),
        "n_key_value_heads": (n_heads,),
        "d_vocab_out": (-1, config.get("d_vocab")),
        "attn_types": (["global"] * config["n_layers"] if isinstance(config.get("n_layers"), int) else [],),
        "rotary_dim": (d_head,),
    }
    if name in ("rotary_base", "rotary_dim", "rotary_adjacent_pairs"):
        # They say something of rotary positions alone.
        rotary = config.get("positional_embedding_type", "standard") == "rotary"
        return (depending | HARMLESS)[name] if rotary else (config[name],)
    return (depending | HARMLESS).get(name, ())


def _usual(name: str, config: dict) -> str:
    """The value at which a setting would be harmless, in words; empty for one that nobody knows."""
    allowed = _allowed(name, config)
    return repr(allowed[-1]) if allowed else ""


def read_weights(folder, config: dict, device: str = "cpu") -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Its tensors by name, in float32 on `device`, and sentences on what was done to have them.

    Raises ModelError that names what is missing, left over, or of another shape than the config says.
    """
    path = Path(folder) / WEIGHTS
    weights = load_file(str(path), device=str(device))
    expected, notes = _expected(config), []
    prefix = next((p for p in shared_prefixes(weights) if expected.keys() <= without_prefix(weights, p).keys()), "")
    if prefix:
        weights = without_prefix(weights, prefix)
        notes.append(f"All names of its weights begin with `{prefix}`, which was taken off.")
    weights = {name: weight for name, weight in weights.items() if not name.endswith(BUFFERS)}
    if faults := _faults(weights, expected):
        raise ModelError(f"{path} does not fit its config.json: {'; '.join(faults)}.")
    # A CPU computes no halves.
    return {name: weight.float() for name, weight in weights.items()}, tuple(notes)


def _faults(weights: dict[str, Tensor], expected: dict[str, tuple]) -> list[str]:
    missing = [name for name in expected if name not in weights]
    # GELU-1L's file has no b_U; transformer_lens takes zeros then.
    left = [name for name in weights if name not in expected and name != "unembed.b_U"]
    wrong = [
        f"{name} is {list(weights[name].shape)} instead of {list(shape)}"
        for name, shape in expected.items()
        if name in weights and tuple(weights[name].shape) != shape
    ]
    return [
        *([f"missing {listed(missing)}"] if missing else []),
        *([f"left over {listed(left)}"] if left else []),
        *wrong[:4],
    ]


def listed(names, most: int = 6) -> str:
    """The first names, and how many more."""
    names = sorted(names)
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def stated(config: dict, names) -> dict:
    """What a config.json says under these names. Raises ModelError that names what it leaves out."""
    missing = [name for name in names if config.get(name) is None]
    if missing:
        raise ModelError(f"config.json does not say {listed(missing)}. Add what the model was made with.")
    return {name: config[name] for name in names}


def mlp_width(config: dict) -> int:
    """Neurons of a block: four times the model's width where nothing is said, as in transformer_lens."""
    return config.get("d_mlp") or 4 * config["d_model"]


def _expected(config: dict) -> dict[str, tuple]:
    """{name: shape} of all tensors that a model of this config has, the unembedding's bias left out."""
    c = stated(config, ("d_model", "n_layers", "n_heads", "d_head", "n_ctx", "d_vocab"))
    d_model, heads = c["d_model"], (c["n_heads"],)
    names = {"embed.W_E": (c["d_vocab"], d_model), "unembed.W_U": (d_model, c["d_vocab"])}
    if config.get("positional_embedding_type", "standard") == "standard":
        names["pos_embed.W_pos"] = (c["n_ctx"], d_model)
    names |= _norm("ln_final", config, d_model)
    for block in (f"blocks.{layer}." for layer in range(c["n_layers"])):
        names |= _norm(f"{block}ln1", config, d_model)
        for name in "QKV":
            names[f"{block}attn.W_{name}"] = (*heads, d_model, c["d_head"])
            names[f"{block}attn.b_{name}"] = (*heads, c["d_head"])
        names |= {f"{block}attn.W_O": (*heads, c["d_head"], d_model), f"{block}attn.b_O": (d_model,)}
        if not config.get("attn_only"):
            names |= _norm(f"{block}ln2", config, d_model) | _mlp(f"{block}mlp.", config, d_model)
    return names


def _norm(name: str, config: dict, width: int) -> dict[str, tuple]:
    kind = (config.get("normalization_type", "LN") or "").upper()
    return {f"{name}.{part}": (width,) for part in {"LN": "wb", "RMS": "w"}.get(kind, "")}


def _mlp(name: str, config: dict, d_model: int) -> dict[str, tuple]:
    d_mlp = mlp_width(config)
    shapes = {"W_in": (d_model, d_mlp), "b_in": (d_mlp,), "W_out": (d_mlp, d_model), "b_out": (d_model,)}
    # SoLU models have a LayerNorm behind the activation.
    norm = {"ln.w": (d_mlp,), "ln.b": (d_mlp,)} if config.get("act_fn") == "solu_ln" else {}
    return {name + part: shape for part, shape in (shapes | norm).items()}


def with_bias(weights: dict[str, Tensor], d_vocab: int) -> dict[str, Tensor]:
    """The same with zeros for an unembedding's bias that the file leaves out."""
    return {"unembed.b_U": torch.zeros(d_vocab), **weights}
