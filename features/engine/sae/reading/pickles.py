"""What is inside a .pt file? Read without running any of it: tensors, numbers, strings and dicts only."""

import pickle
import zipfile

import torch

from features.engine.sae.reading.errors import CheckpointError

# Config objects that early SAELens pickled beside its weights. Their attributes are plain values.
HARMLESS = {
    "sae_training.config.LanguageModelSAERunnerConfig",
    "sae_lens.training.config.LanguageModelSAERunnerConfig",
    "sae_lens.config.LanguageModelSAERunnerConfig",
    "torch.device",
}
WRAPPERS = ("ae", "state_dict", "model_state_dict")  # keys under which trainers put the weights
SAFER = "Ask its author for the state_dict or a .safetensors file."


class PickledConfig:
    """Stands in for a pickled config class: keeps the attributes, has no behaviour."""

    def __setstate__(self, state):
        self.attributes = dict(state) if isinstance(state, dict) else {}


def read_pickle(path):
    """(tensors, values): every tensor by name, and what else lies beside them, nothing executed.

    CheckpointError where the file is compressed inside, or would need to run code to load. A damaged one
    raises whatever its bytes lead torch into: call within `reading`.
    """
    # A .pt since PyTorch 1.6 is a zip, which can be memory-mapped; older ones are bare pickles.
    zipped = zipfile.is_zipfile(path)
    if zipped:
        # Before torch.load, which unpacks a member into memory whatever its size.
        _refuse_compressed(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        content = _with_stubs(path, error, zipped)
    return _sorted_out(path, content)


def _with_stubs(path, error, zipped):
    needed = _globals(path)
    if not needed and "Unsupported global" not in str(error) and "GLOBAL" not in str(error):
        raise error
    if not needed or not needed <= HARMLESS:
        names = ", ".join(sorted(needed - HARMLESS)) or "code that could not be named"
        raise CheckpointError(
            f"{path} would run {names} to load, so it was not loaded: a checkpoint is data. {SAFER}"
        ) from None
    # A pair stands for a class under the name by which the pickle calls it: the true one is never imported.
    stubs = [(PickledConfig, name) for name in needed if name != "torch.device"] + [torch.device]
    with torch.serialization.safe_globals(stubs):
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)


def _globals(path):
    try:
        return set(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # old files without a zip inside cannot be looked through
        return set()


def _refuse_compressed(path):
    with zipfile.ZipFile(path) as archive:
        packed = [m.filename for m in archive.infolist() if m.compress_type != zipfile.ZIP_STORED]
    if packed:
        raise CheckpointError(
            f"{path} is compressed inside ({packed[0]} and {len(packed) - 1} more), which torch.save never "
            "does. Unpack it and save the state_dict again."
        )


def _sorted_out(path, content):
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not a dict of named tensors. {SAFER}")
    values = {}
    for wrapper in WRAPPERS:
        if isinstance(content.get(wrapper), dict):
            values = {k: _plain(v) for k, v in content.items() if k != wrapper}
            values["wrapped_in"] = wrapper
            content = content[wrapper]
            break
    tensors = {str(k): v for k, v in content.items() if isinstance(v, torch.Tensor)}
    values.update({str(k): _plain(v) for k, v in content.items() if not isinstance(v, torch.Tensor)})
    not_dense = [k for k, v in tensors.items() if v.layout != torch.strided or v.is_quantized]
    if not_dense:
        raise CheckpointError(f"{path} stores {', '.join(not_dense)} sparse or quantised; dense weights are needed.")
    return tensors, values


def _plain(value):
    return value.attributes if isinstance(value, PickledConfig) else value
