"""A language model from a folder.

One-block models in transformer_lens's own layout are run directly (`one_layer.py`); every other model goes
through transformer_lens (`boot.py`, `bridge_model.py`). Both answer the same calls:

    activations(tokens, hook)               [batch, seq] -> [batch, seq, d_in]; nothing after the hook is run
    activations_at(tokens, hooks, at)       of several hook points, where the mask `at` [batch, seq] is True
    activations_and_residual(tokens, hook)  the same and the final residual [batch, seq, d_model]
    residual_with(tokens, hook, replace)    the final residual when replace(h) stands at the hook
    output_map(hook)                        [d_in, d_model] into the residual stream; None for itself
    output_scale(hook, h)                   what a norm behind the hook point divides by [...]; None without one
    norm_follows(hook)                      whether there is one
    own_logits                              of `ids`, by the model's own library; None where there is no other formula
    unembedding, hook_points, n_ctx, n_layers, d_model, d_vocab, name, notes, device
"""

from pathlib import Path

import torch
from torch import Tensor

from ..confined import listings
from ..foreign_files import LARGEST, Unreadable, in_bytes, is_panic, stand_in, without_advice
from .config import ModelError, dimensions, read_config
from .one_layer import OneBlockConfig, OneBlockModel
from .tl_layout import WEIGHTS

FEWEST_BITS = 4  # weights of two bits to a byte: none are stored in fewer
SPARE = 1 << 24  # weights of a config that is let pass all the same
ENDINGS = (".safetensors", ".bin", ".pt", ".pth")


def device_named(device: str) -> str:
    """The device for "auto": a GPU where there is one. Raises ModelError for a GPU that is not there."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ModelError(f"Device {device!r} was asked for, but PyTorch sees no GPU. Use 'cpu' or 'auto'.")
    return device


def load_model(folder, device: str = "auto", ids: Tensor | None = None):
    """Open the model in `folder` on `device`, in float32.

    The folder holds either transformer_lens's names (`config.json` with n_layers ..., `model.safetensors`,
    `tokenizer.json`) or a Hugging Face checkpoint. No hub is asked. `ids` [n, seq] are put through the model by its own
    library too, before hooks hang on it: `own_logits`. Raises ModelError naming what is missing or does not fit.
    """
    folder, device = Path(folder), device_named(device)
    config = read_config(folder)
    refuse_by_looks(folder)
    try:
        small = OneBlockConfig.read(config)
        if small:
            return OneBlockModel.load(folder, small, device)
        from .boot import boot

        return boot(folder, device, ids)
    except (ModelError, MemoryError, torch.OutOfMemoryError):
        raise
    except BaseException as error:  # whatever a library raises of a model that it does not know
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        if in_place := _stand_in(folder):
            raise ModelError(in_place) from error
        if type(error).__name__ == "SafetensorError":
            raise ModelError(f"The weights in {folder / WEIGHTS} are damaged: {error}") from error
        said = without_advice(error, "it needs code that transformers does not have, which is not run here")
        said = said if isinstance(error, (OSError, ValueError)) else f"{type(error).__name__}: {said}"
        raise ModelError(f"The model in {folder} cannot be loaded: {said}") from error


def opened_with(folder) -> tuple[str, ...]:
    """Modules that a model in this folder is opened with, slow ones. Raises ModelError."""
    refuse_by_looks(folder)
    is_small = OneBlockConfig.read(read_config(folder)) is not None
    return (__name__,) if is_small else (__name__, f"{__package__}.boot", "transformer_lens.model_bridge")


def refuse_by_looks(folder) -> None:
    """Raises ModelError for what names, sizes and a few bytes tell of a folder: it takes no library and no time."""
    _refuse_pipes(Path(folder))
    _refuse_hollow(Path(folder))
    _refuse_long_lists(Path(folder))


def _refuse_pipes(folder: Path) -> None:
    """Raises ModelError where anything but files and folders lies there: to open a pipe waits for ever."""
    for entry in sorted(folder.iterdir()):
        if entry.exists() and not entry.is_file() and not entry.is_dir():
            raise ModelError(f"{entry} is no regular file, and only those are read. Take it away.")


def _refuse_hollow(folder: Path) -> None:
    """Raises ModelError where config.json speaks of a model that its files are far too small for: room would be made
    for all of it before anything is found missing."""
    said = dimensions(folder)
    # Less than any model has: its embedding, and one matrix of each MLP.
    width, layers = said.get("d_model", 0), said.get("n_layers", 0)
    least = width * (said.get("d_vocab", 0) + layers * said.get("d_mlp", 0))
    files = [file for ending in ENDINGS for file in folder.glob(f"*{ending}")]
    size = sum(file.stat().st_size for file in files if file.is_file())
    if size and least > FEWEST_BITS * size + SPARE:
        raise ModelError(
            f"{folder / 'config.json'} speaks of {least:,} weights at least, and the files beside it have "
            f"{in_bytes(size)}: less than two bits for each. Is it theirs, and are all files there?"
        )


def _refuse_long_lists(folder: Path) -> None:
    """Raises ModelError where a file lists more tensors than any model has: libraries take the list apart first."""
    try:
        listings.refuse_any_long(folder, ENDINGS)
    except Unreadable as error:
        raise ModelError(str(error)) from error
    for file in (*folder.glob("*.index.json"), folder / "generation_config.json"):
        if file.is_file() and (size := file.stat().st_size) > LARGEST:
            raise ModelError(f"{file} has {in_bytes(size)}; a file of settings has at most {in_bytes(LARGEST)}.")


def _stand_in(folder: Path) -> str:
    """What lies there in place of one of the weight files; empty where they are files of weights."""
    weights = sorted(file for ending in ("safetensors", "bin", "json") for file in folder.glob(f"*.{ending}"))
    return next(filter(None, map(stand_in, weights)), "")
