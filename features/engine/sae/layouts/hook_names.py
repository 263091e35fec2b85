"""Which hook point do other libraries mean? Their names for a place in a model -> TransformerLens names.

Every function returns None where the name says nothing; the user is asked then.
"""

import re
from pathlib import Path

# dictionary_learning names submodules, OpenAI and Gemma Scope name locations; left their word, right ours
PLACES = {
    "resid_pre": "hook_resid_pre",
    "resid_mid": "hook_resid_mid",
    "resid_post": "hook_resid_post",
    "mlp_out": "hook_mlp_out",
    "attn_out": "hook_attn_out",
    "attention_out": "hook_attn_out",
    "mlp_post": "mlp.hook_post",
    "mlp_post_act": "mlp.hook_post",
    "resid_delta_mlp": "hook_mlp_out",
    "resid_delta_attn": "hook_attn_out",
    "resid_post_attn": "hook_resid_mid",
    "resid_post_mlp": "hook_resid_post",
    # Gemma Scope: its attention SAEs read all heads in front of W_O, its MLP SAEs what the MLP adds to the stream.
    "res": "hook_resid_post",
    "mlp": "hook_mlp_out",
    "att": "attn.hook_z",
}
# What a Hugging Face module returns: a block the residual stream behind it, a part of one what it adds. The last map of
# a part returns the same as the part itself, and reads neurons or heads.
ATTENTION = ("attn", "self_attn", "attention", "self_attention")
MLP_LAST = ("mlp.c_proj", "mlp.down_proj", "mlp.dense_4h_to_h", "mlp.fc2", "mlp.fc_out", "fc2")
ATTENTION_LAST = ("c_proj", "o_proj", "dense", "out_proj")
MODULES = {
    "": "hook_resid_post",
    "mlp": "hook_mlp_out",
    **dict.fromkeys(ATTENTION, "hook_attn_out"),
    "attn.attention": "hook_attn_out",  # GPT-Neo
    **dict.fromkeys(MLP_LAST, "hook_mlp_out"),
    **{f"{part}.{last}": "hook_attn_out" for part in ATTENTION for last in ATTENTION_LAST},
    "mlp.act": "mlp.hook_post",  # where no gate comes after it: those models call it act_fn
}
READ = {  # what is given to a module, where that is a hook point too
    "": "hook_resid_pre",
    **dict.fromkeys(MLP_LAST, "mlp.hook_post"),
    **{f"{part}.{last}": "attn.hook_z" for part in ATTENTION for last in ATTENTION_LAST},
}
BLOCKS = r"(?:[a-z_]+\.)*(?:layers|layer|h|blocks)[._](\d+)((?:\.\w+)*)"


def block(layer: int | str | None, place: str) -> str | None:
    """blocks.<layer>.<hook> for a place of PLACES."""
    return f"blocks.{layer}.{PLACES[place]}" if layer is not None and place in PLACES else None


def of_module(name: str) -> str | None:
    """Output of a Hugging Face module: "layers.3", "transformer.h.5", "layers.3.mlp", "embed_tokens".

    With ".input" or ".output" at its end that side of the module: "model.layers.3.mlp.down_proj.input" are its neurons.
    """
    if re.fullmatch(r"(model\.|transformer\.)?(embed_tokens|wte|embed_in)", name):
        return "hook_embed"
    match = re.fullmatch(BLOCKS, name)
    if not match:
        return None
    part, _, side = match[2].removeprefix(".").rpartition(".")
    if side not in ("input", "output"):
        part, side = match[2].removeprefix("."), "output"
    place = (READ if side == "input" else MODULES).get(part)
    return f"blocks.{match[1]}.{place}" if place else None


def note_on_module(name: str) -> str:
    """What is said of a hook point that is named as a module of the model."""
    return f"The module {name}, which is named, is {of_module(name)} here."


def said(trainer: dict) -> str | None:
    """What a config says in so many words, as those of saeviz's callback do."""
    name = trainer.get("hook_name")
    return name if isinstance(name, str) and name else None


def of_submodule(name: str | None, layer: int | None, side: str | None) -> str | None:
    """dictionary_learning: "resid_post_layer_8"; the same or a module's name with the layer told elsewhere; or "mlp"
    with layer and side ("out") told elsewhere."""
    match = re.fullmatch(r"(\w+?)_layer_(\d+)", name or "")
    if match:
        return block(match[2], match[1])
    if name == "mlp":  # both its sides have been trained on
        return block(layer, "mlp_out") if side == "out" else None
    short = name in ("res", "att")  # Gemma Scope's words, which mean other places there
    return (None if short else block(layer, name)) or of_module(name or "")


def of_location(path: Path) -> str | None:
    """OpenAI: .../<location>[_v4 | _v5_32k | ...]/autoencoders/<layer>.pt."""
    # From the file outwards: the nearest folder named after a location is the one that is meant.
    for part in reversed(path.parts[:-1]):
        place = re.sub(r"_v\d.*$", "", part)
        if place in PLACES and path.stem.isdigit():
            return block(path.stem, place)
    return None


def of_gemma_scope(path: Path) -> tuple[str | None, str | None]:
    """(model_name, hook_point): ...gemma-scope-2b-pt-res.../layer_20/width_16k/average_l0_71/params.npz."""
    text = path.as_posix()
    layer = re.search(r"layer_(\d+)", text)
    release = re.search(r"gemma-scope-(2b|9b|27b)-(pt|it)-(res|mlp|att)", text)
    model = release and f"gemma-2-{release[1]}" + ("-it" if release[2] == "it" else "")
    if "/embedding/" in text:
        return model, "hook_embed"
    return model, block(layer[1], release[3]) if layer and release else None


GEMMA_SCOPE_2 = {  # by the Hugging Face module of its config, by the folder it is published in
    "output": "hook_resid_post",
    "post_feedforward_layernorm.output": "hook_mlp_out",
    "self_attn.o_proj.input": "attn.hook_z",
    "resid_post": "hook_resid_post",
    "mlp_out": "hook_mlp_out",
    "attn_out": "attn.hook_z",
}


def of_gemma_scope_2(module_name: str | None, path: Path) -> tuple[str | None, str | None]:
    """(model_name, hook_point): "model.layers.7.output", gemma-scope-2-1b-pt/resid_post/layer_7_width_16k_l0_small."""
    text = path.as_posix()
    size = re.search(r"gemma-scope-2-(\w+)-(pt|it)", text)
    model = f"google/gemma-3-{size[1]}-{size[2]}" if size else None
    folder = re.search(r"/(resid_post|mlp_out|attn_out)(?:_all)?/layer_(\d+)_", text)
    module = re.fullmatch(r"model\.layers\.(\d+)\.([\w.]+)", module_name or "")
    layer, place = (module[1], module[2]) if module else (folder[2], folder[1]) if folder else (None, None)
    return model, f"blocks.{layer}.{GEMMA_SCOPE_2[place]}" if place in GEMMA_SCOPE_2 else None


def of_name(name: str) -> tuple[str | None, str | None]:
    """(model_name, hook_point): "Llama-3.1-8B-Instruct-SAE-l19"."""
    match = re.fullmatch(r"(.+?)-SAE-l(\d+)", name)
    return (match[1], block(match[2], "resid_post")) if match else (None, None)
