"""What is inside a .pt file? Read without running any of it: tensors, numbers, strings and dicts only."""

import pickle
import re
import zipfile

import torch

from features.engine.sae.reading.errors import CheckpointError
from features.engine.sae.reading.pickled_numpy import NAMES as NUMPY
from features.engine.sae.reading.pickled_numpy import STAND_INS
from features.engine.sae.reading.state_dicts import sort_out

# Config objects that early SAELens pickled beside its weights. Their attributes are plain values.
CONFIGS = (
    "sae_training.config.LanguageModelSAERunnerConfig",
    "sae_lens.training.config.LanguageModelSAERunnerConfig",
    "sae_lens.config.LanguageModelSAERunnerConfig",
)
HARMLESS = {*CONFIGS, "torch.device", *NUMPY}
SAFER = "Ask its author for the state_dict or a .safetensors file."
AGAIN = "Save it again without, where it was made: torch.save(sae.state_dict(), 'sae.pt')."
MOST = 10_000  # values of a file that are looked through for what cannot be read


class PickledConfig:
    """Stands in for a pickled config class: keeps the attributes, has no behaviour."""

    def __setstate__(self, state):
        self.attributes = dict(state) if isinstance(state, dict) else {}


class Unread:
    """Stands in for any object that would have to be run, while its place in the file is looked for."""

    def __new__(cls, *_, **__):
        return super().__new__(cls)

    def __init__(self, *_, **__):
        pass

    def __setstate__(self, state):
        pass


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
    # A pair stands for a class under the name by which the pickle calls it: the true one is never imported.
    stand_ins = [(PickledConfig, name) for name in CONFIGS] + STAND_INS + [torch.device]
    try:
        content = _load(path, zipped, stand_ins)
    except pickle.UnpicklingError as error:
        raise _refusal(path, error, zipped) or error from None
    return _sorted_out(path, content)


def _load(path, zipped, stand_ins):
    with torch.serialization.safe_globals(stand_ins):
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)


def _refusal(path, error, zipped):
    """What it would run, and under which names that lies; None where the file is merely damaged."""
    needed = _globals(path) - HARMLESS
    if not needed and "GLOBAL" not in str(error):
        return None
    named = re.search(r"GLOBAL ([\w.]+)", str(error))
    names = ", ".join(sorted(needed)) or (named[1] if named else "code that could not be named")
    under = _keys_of_unread(path, zipped, needed) if needed else []
    where = f" It lies under {', '.join(under[:8])}. {AGAIN}" if under else f" {SAFER}"
    return CheckpointError(f"{path} would run {names} to load, so it was not loaded: a checkpoint is data.{where}")


def _keys_of_unread(path, zipped, needed) -> list[str]:
    """The names in a file under which objects lie that cannot be read; nothing of them is run or imported."""
    stand_ins = [(PickledConfig, name) for name in CONFIGS] + STAND_INS + [torch.device]
    try:
        content = _load(path, zipped, [*stand_ins, *((Unread, name) for name in needed)])
    except Exception:  # whatever it is made of, the refusal stands without the names
        return []
    found, waiting, looked_at = [], [((), content)], 0
    while waiting and looked_at < MOST:
        keys, value = waiting.pop(0)
        looked_at += 1
        if isinstance(value, Unread):
            found.append(repr(".".join(map(str, keys))))
        elif isinstance(value, dict | list | tuple) and len(keys) < 8:
            inner = value.items() if isinstance(value, dict) else enumerate(value)
            waiting += [((*keys, key), entry) for key, entry in inner]
    return [name for name in found if name != "''"]


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
    tensors, values = sort_out(path, content)
    not_dense = [k for k, v in tensors.items() if v.layout != torch.strided or v.is_quantized]
    if not_dense:
        raise CheckpointError(f"{path} stores {', '.join(not_dense)} sparse or quantised; dense weights are needed.")
    return tensors, {name: _plain(value) for name, value in values.items()}


def _plain(value):
    return value.attributes if isinstance(value, PickledConfig) else value
