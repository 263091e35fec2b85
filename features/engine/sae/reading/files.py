"""Which files make up a checkpoint? The weights at a path, and the configs that lie beside them."""

import json
from pathlib import Path

import torch

from features.engine.sae.reading.containers import open_weights
from features.engine.sae.reading.errors import CheckpointError

DEFAULT_MAX_BYTES = 64 * 2**30  # of weights, as float32
WEIGHTS = (".safetensors", ".pt", ".pth", ".npz", ".bin", ".ckpt")
USUAL = (  # weight files whose name alone says that they are the SAE
    "sae_weights.safetensors",
    "sae.safetensors",
    "params.safetensors",
    "final.safetensors",
    "ae.pt",
    "sae.pt",
    "params.npz",
)
SIDE_FILES = ("sparsity.safetensors", "activation_whitening.safetensors", "trainer_state.pt")
CONFIGS = (
    "cfg.json",
    "config.json",
    "hyperparams.json",
    "activation_scaler.json",
)
REFUSED = {
    "trainer_state.pt": "is the trainer's state (optimiser and schedule); the weights lie beside it",
    ".pkl": "is a bare pickle, which can run code when it is read",
    ".pickle": "is a bare pickle, which can run code when it is read",
    ".gz": "is a compressed pickle, which can run code when it is read",
}
MAX_CONFIG_BYTES = 2**24


class Checkpoint:
    """A checkpoint on disk: names and shapes of its tensors, its configs, tensors on demand."""

    def __init__(self, path, max_bytes=DEFAULT_MAX_BYTES):
        """Opens nothing but headers and configs. Raises CheckpointError, see `find_weights`."""
        self.path = Path(path)
        self.weights = find_weights(self.path)
        self.max_bytes = max_bytes
        self.config_files = find_configs(self.weights)
        self.configs = {file.name: _json(file) for file in self.config_files}
        container = open_weights(self.weights, max_bytes)
        self.shapes, self.dtypes, self.values = container.shapes, container.dtypes, container.values
        self._read = container.read

    @property
    def is_safetensors(self):
        return self.weights.suffix == ".safetensors"

    def has(self, *names):
        return all(name in self.shapes for name in names)

    def config(self, *names):
        """The first of these configs that is there, else {}."""
        return next((self.configs[name] for name in names if name in self.configs), {})

    def own_config(self):
        """The config named after the weight file: 25.pt -> 25_cfg.json; else {}."""
        return self.config(f"{self.weights.stem}_cfg.json", f"{self.weights.stem}.json")

    def tensor(self, name):
        """One tensor as stored, memory-mapped where the file allows: copy before keeping."""
        return self._read(name)

    def number(self, name):
        """A one-element tensor or a plain number as a Python number; None where there is no such thing."""
        if name in self.shapes:
            return self._read(name).item() if torch.Size(self.shapes[name]).numel() == 1 else None
        value = self.values.get(name)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def find_weights(path) -> Path:
    """The weight file at a path, file or folder. CheckpointError where there is none, or no saying which."""
    if not path.exists():
        raise CheckpointError(f"{path} does not exist.")
    if path.is_file():
        _refuse(path)
        return path
    found = [f for f in sorted(path.iterdir()) if f.suffix in WEIGHTS and f.name not in SIDE_FILES]
    usual = [f for f in found if f.name in USUAL]
    if len(usual or found) == 1:
        return (usual or found)[0]
    if found:
        names = ", ".join(f.name for f in found[:12])
        raise CheckpointError(f"{path} holds {len(found)} weight files ({names}). Name the one to read.")
    inner = path / "checkpoints" / "final.safetensors"
    if inner.is_file():
        return inner
    raise CheckpointError(_nothing_here(path))


def find_configs(weights):
    """JSON files that speak of these weights, nearest first; one level up from a folder checkpoints/."""
    names = [f"{weights.stem}_cfg.json", f"{weights.stem}.json", *CONFIGS]
    folders = [weights.parent]
    if weights.parent.name == "checkpoints":
        folders.append(weights.parent.parent)
    found = {}
    for folder in folders:
        for name in names:
            if (folder / name).is_file():
                found.setdefault(name, folder / name)
    return list(found.values())


def _refuse(path):
    reason = REFUSED.get(path.name) or REFUSED.get(path.suffix)
    if reason:
        raise CheckpointError(f"{path} {reason}. Give the .safetensors or state_dict .pt file instead.")


def _nothing_here(path):
    names = sorted(f.name for f in path.iterdir())
    for name in names:
        if Path(name).suffix in REFUSED or name in REFUSED:
            _refuse(path / name)
    inner = [name for name in names if any(f.suffix in WEIGHTS for f in (path / name).glob("*"))]
    if inner:
        return f"{path} holds SAEs in folders of its own: {', '.join(inner[:12])}. Name the one to read."
    if any(name.endswith(".json") for name in names):
        return f"{path} has a config but no weights ({', '.join(names[:12])}): half written? Copy it again."
    return f"{path} holds no weight file ({', '.join(WEIGHTS)}); it holds: {', '.join(names[:12]) or 'nothing'}."


def _json(file):
    if file.stat().st_size > MAX_CONFIG_BYTES:
        raise CheckpointError(f"{file} has {file.stat().st_size:,} bytes; a config has at most {MAX_CONFIG_BYTES:,}.")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{file} is no JSON: {error}. Half written? Copy it again.") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{file} holds a {type(content).__name__}, not an object with settings.")
    return content
