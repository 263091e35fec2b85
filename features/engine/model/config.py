"""What does a model's config.json say of it? No weight is read, and no library that could read one is loaded."""

from pathlib import Path

from ..foreign_files import Unreadable, read_object

NAMES = {  # transformer_lens's name -> those that other families of models give to the same number
    "n_layers": ("n_layer", "num_hidden_layers", "num_layers"),
    "d_model": ("n_embd", "hidden_size"),
    "n_heads": ("n_head", "num_attention_heads", "num_heads"),
    "d_head": ("head_dim",),
    "d_mlp": ("n_inner", "intermediate_size", "ffn_dim", "ffn_hidden_size"),
    "d_vocab": ("vocab_size",),
    "n_ctx": ("n_positions", "max_position_embeddings", "max_sequence_length", "max_seq_len", "seq_length"),
}
MOST = {"n_layers": 10_000}  # layers, which are gone through one by one
MOST_OTHERS = 2**31  # larger than any dimension of a model


class ModelError(ValueError):
    """A model folder that cannot be opened, or a hook point that the model does not have."""


def read_config(folder) -> dict:
    """`config.json` of a model folder. Raises ModelError when there is none, it does not parse, or it says numbers that
    no model has."""
    path = Path(folder) / "config.json"
    try:
        config = read_object(path)
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}). A model folder needs a config.json.") from error
    except Unreadable as error:
        raise ModelError(str(error)) from error
    for name, number in _numbers(_of_text(config)).items():
        if number > (most := MOST.get(name, MOST_OTHERS)):
            raise ModelError(f"{path} says {name} {number:.6g}; at most {most:,} is read. Is it damaged?")
    return config


def text_config(folder) -> dict:
    """The settings of the text model; empty where they cannot be read."""
    try:
        return _of_text(read_config(folder))
    except ModelError:
        return {}


def dimensions(folder) -> dict[str, int]:
    """{name of NAMES: number} of the text model, those that its config says; empty where it cannot be read."""
    config = text_config(folder)
    numbers = _numbers(config)
    # No MLP, whatever d_mlp is stated. 0 rather than nothing: where nothing is said, 4 * d_model is assumed.
    return numbers | {"d_mlp": 0} if config.get("attn_only") else numbers


def context_length(folder) -> int | None:
    """Tokens that the model reads at most; None where the config does not say."""
    return dimensions(folder).get("n_ctx")


def _of_text(config: dict) -> dict:
    """A model that reads images as well nests the settings of its language model."""
    nested = config.get("text_config")
    return nested if isinstance(nested, dict) else config


def _numbers(config: dict) -> dict[str, int]:
    numbers = {name: _first_number(config, (name, *others)) for name, others in NAMES.items()}
    return {name: number for name, number in numbers.items() if number is not None}


def _first_number(config: dict, names) -> int | None:
    # GPT-2's n_inner is null where it is the usual 4 * d_model: what is no number counts as not said.
    stated = (config.get(name) for name in names)
    return next((value for value in stated if isinstance(value, int) and value > 0), None)
