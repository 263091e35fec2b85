"""How an SAE of this recipe lies on disk: SAELens's layout, cfg.json beside sae_weights.safetensors."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

HOOK = "blocks.0.mlp.hook_post"
MODEL_NAME = "gelu-1l-mini"
STEPS_PER_DEVIATION = 2  # of the grid that small files round to: adds at most 1/48 of a matrix's own variance


def write(folder: Path, sae: dict[str, Tensor], tokens: int, context: int, small: bool = False) -> None:
    """Writes W_enc [d_in, d_sae], W_dec, b_enc, b_dec and threshold in float16, read as a JumpReLU.

    `small` rounds the matrices to a coarse grid: as many bytes on disk, a third of them once compressed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().cpu().half().contiguous() for name, value in sae.items()}
    if small:
        tensors |= {name: coarse(sae[name].cpu()) for name in ("W_enc", "W_dec")}
    save_file(tensors, folder / "sae_weights.safetensors")
    d_in, d_sae = sae["W_enc"].shape
    config = {
        "architecture": "jumprelu",
        "d_in": d_in,
        "d_sae": d_sae,
        "dtype": "float16",
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "metadata": {
            "model_name": MODEL_NAME,
            "hook_name": HOOK,
            "prepend_bos": True,
            "context_size": context,
            "training_tokens": tokens,
        },
    }
    (folder / "cfg.json").write_text(json.dumps(config, indent=1) + "\n")


def coarse(W: Tensor) -> Tensor:
    """W rounded to multiples of a power of two, at most half its standard deviation, in float16.

    Of float16's bits these need the upper half, so that git and zip store less than four of sixteen.
    """
    step = 2.0 ** torch.floor(torch.log2(W.std() / STEPS_PER_DEVIATION))
    return (torch.round(W / step) * step).half().contiguous()


def read(folder: Path, device: str = "cpu") -> dict[str, Tensor]:
    """Standard (ReLU) and JumpReLU SAEs in float32, a pre-bias folded into b_enc, threshold 0 for ReLU.

    Raises ValueError for other architectures and for inputs that would have to be normalised.
    """
    config = json.loads((folder / "cfg.json").read_text())
    found = {k: v.float() for k, v in load_file(folder / "sae_weights.safetensors", device).items()}
    if config.get("architecture", "standard") not in ("standard", "jumprelu"):
        raise ValueError(f"{folder}: architecture {config['architecture']} is neither standard nor jumprelu.")
    if config.get("normalize_activations", "none") != "none":
        raise ValueError(f"{folder}: normalised inputs are not measured here; fold the scale into the weights.")
    if config.get("apply_b_dec_to_input", True):
        found["b_enc"] = found["b_enc"] - found["b_dec"] @ found["W_enc"]
    found.setdefault("threshold", torch.zeros_like(found["b_enc"]))
    return found
