"""Which hook points does a model have, and how wide are they? In transformer_lens's names.

blocks.<layer>.<site>: SITES is the one list of the sites of a block. https://transformerlensorg.github.io/TransformerLens
draws them in its diagram of a block.
"""

import re
from collections.abc import Collection
from typing import NamedTuple

from .config import ModelError, dimensions, text_config


class Site(NamedTuple):
    """A place in a block where activations are read."""

    component: str | None  # whose output weights lead from it into the residual stream; None: it is as wide as that
    usual: int  # how usual SAEs on it are, 1 first
    is_after_mlp: bool = False  # nothing of its block reads it but the residual stream


SITES = {  # in the order of the forward pass
    "hook_resid_pre": Site(None, 5),
    "attn.hook_z": Site("attn", 7),
    "hook_attn_out": Site(None, 6),
    "hook_resid_mid": Site(None, 4),
    "mlp.hook_post": Site("mlp", 1, is_after_mlp=True),
    "hook_mlp_out": Site(None, 2, is_after_mlp=True),
    "hook_resid_post": Site(None, 3, is_after_mlp=True),
}
USUAL = sorted(SITES, key=lambda site: SITES[site].usual)  # sites, most usual first
NEURONS = "mlp.hook_post"

# What is known of families (transformers' model_type) before they are loaded.
PARALLEL = {"cohere", "cohere2", "gptj", "phi", "codegen"}  # attention beside the MLP, whatever else the config says
STATE_SPACE = {"mamba", "mamba2", "falcon_mamba", "rwkv", "xlstm"}  # neither attention nor MLP
EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")  # no neurons that are there for every token


def of_blocks(n_layers: int, widths: dict[str | None, int], without: Collection[str] = ()) -> dict[str, int]:
    """{hook point: width} of a model's blocks in order. `widths` by component of SITES; one of 0 is left out, and so
    are the sites `without`."""
    return {
        f"blocks.{layer}.{name}": widths[site.component]
        for layer in range(n_layers)
        for name, site in SITES.items()
        if widths[site.component] and name not in without
    }


def layer_and_site(hook_point: str) -> tuple[int, str]:
    """(3, "mlp.hook_post") of "blocks.3.mlp.hook_post". Raises ModelError for a name of another form."""
    match = re.fullmatch(r"blocks\.(\d+)\.(.+)", hook_point)
    if not match or match[2] not in SITES:
        raise ModelError(f"Hook point {hook_point!r} cannot be read; known are blocks.<layer>.{{{', '.join(SITES)}}}.")
    return int(match[1]), match[2]


def layer_of(hook_point: str) -> int:
    """Layer that a hook point lies in."""
    return layer_and_site(hook_point)[0]


def is_neurons(hook_point: str) -> bool:
    """Whether the hook point's entries are the neurons of an MLP."""
    return hook_point.endswith(NEURONS)


def hook_widths(folder) -> dict[str, int]:
    """{hook point: width} by a model folder's config, last block first and its most usual site first.

    Empty where the config cannot be read or says too little. These are candidates for a form; a loaded model has the
    last word.
    """
    said = dimensions(folder)
    if not {"n_layers", "d_model"} <= said.keys():
        return {}
    d_model, n_heads = said["d_model"], said.get("n_heads", 0)
    # Most configs leave the width of a head out: the heads share d_model evenly.
    d_head = said.get("d_head") or (d_model // n_heads if n_heads else 0)
    # hook_z is all heads side by side. GPT-2's configs leave the MLP's width out: 4 * d_model.
    widths = of_blocks(
        said["n_layers"],
        {None: d_model, "attn": n_heads * d_head, "mlp": said.get("d_mlp", 4 * d_model)},
        without=_absent(text_config(folder)),
    )
    return dict(sorted(widths.items(), key=lambda hook: usual_first(hook[0])))


def _absent(config: dict) -> set[str]:
    """Sites that models of such a config do not have."""
    kind, absent = str(config.get("model_type")), set()
    if kind in STATE_SPACE:
        return {site for site in SITES if site not in ("hook_resid_pre", "hook_resid_post")}
    # As transformers' own configs have it where they leave it out.
    beside = {
        "gpt_neox": config.get("use_parallel_residual", True),
        "stablelm": config.get("use_parallel_residual", False),
        "falcon": config.get("parallel_attn", True) or config.get("new_decoder_architecture", False),
    }
    if kind in PARALLEL or beside.get(kind):
        absent.add("hook_resid_mid")
    if config.get("attn_only"):
        absent |= {"hook_resid_mid", "hook_mlp_out"}
    if any(isinstance(config.get(name), int) and config[name] > 1 for name in EXPERTS):
        absent.add(NEURONS)
    return absent


def usual_first(hook_point: str) -> tuple[int, int]:
    """The order in which hook points are offered: the last block first, in it the most usual site."""
    layer, site = layer_and_site(hook_point)
    return -layer, SITES[site].usual
