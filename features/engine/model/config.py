"""What does a model's config.json say of it? No weight is read, and no library that could read one is loaded."""

import json
from pathlib import Path

from ..foreign_files import stand_in

NAMES = {  # transformer_lens's name -> those that other families of models give to the same number
    "n_layers": ("n_layer", "num_hidden_layers", "num_layers"),
    "d_model": ("n_embd", "hidden_size"),
    "n_heads": ("n_head", "num_attention_heads", "num_heads"),
    "d_head": ("head_dim",),
    "d_mlp": ("n_inner", "intermediate_size", "ffn_dim", "ffn_hidden_size"),
    "d_vocab": ("vocab_size",),
    "n_ctx": ("n_positions", "max_position_embeddings", "max_sequence_length", "max_seq_len", "seq_length"),
}


class ModelError(ValueError):
    """A model folder that cannot be opened, or a hook point that the model does not have."""


def read_config(folder) -> dict:
    """`config.json` of a model folder. Raises ModelError when there is none or it does not parse."""
    path = Path(folder) / "config.json"
    try:
        config = json.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}). A model folder needs a config.json.") from error
    except ValueError as error:
        raise ModelError(stand_in(path) or f"{path} is not valid JSON: {error}") from error
    if not isinstance(config, dict):
        raise ModelError(f"{path} holds a {type(config).__name__}, not an object with settings.")
    return config


def text_config(folder) -> dict:
    """The settings of the text model; empty where they cannot be read."""
    try:
        config = read_config(folder)
    except ModelError:
        return {}
    # A model that reads images as well nests the settings of its language model.
    nested = config.get("text_config")
    return nested if isinstance(nested, dict) else config


def dimensions(folder) -> dict[str, int]:
    """{name of NAMES: number} of the text model, those that its config says; empty where it cannot be read."""
    config = text_config(folder)
    numbers = {name: _first_number(config, (name, *others)) for name, others in NAMES.items()}
    # No MLP, whatever d_mlp is stated. 0 rather than nothing: where nothing is said, 4 * d_model is assumed.
    if config.get("attn_only"):
        numbers["d_mlp"] = 0
    return {name: number for name, number in numbers.items() if number is not None}


def context_length(folder) -> int | None:
    """Tokens that the model reads at most; None where the config does not say."""
    return dimensions(folder).get("n_ctx")


def _first_number(config: dict, names) -> int | None:
    # GPT-2's n_inner is null where it is the usual 4 * d_model: what is no number counts as not said.
    stated = (config.get(name) for name in names)
    return next((value for value in stated if isinstance(value, int) and value > 0), None)
