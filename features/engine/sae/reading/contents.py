"""What do the files of a checkpoint hold? Names and shapes of tensors, and configs; tensors on demand."""

from copy import copy
from pathlib import Path

import torch

from features.engine.foreign_files import Unreadable, read_object
from features.engine.prefixes import without_prefix
from features.engine.sae.reading.containers import open_weights
from features.engine.sae.reading.errors import CheckpointError
from features.engine.sae.reading.files import find_configs, find_weights

DEFAULT_MAX_BYTES = 64 * 2**30  # of weights, as float32


class CheckpointContents:
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
        self.held = container.held
        self.prefix = ""  # that all tensors' names had, and that was taken off
        self._read = container.read

    def without(self, prefix: str) -> "CheckpointContents":
        """The same, with a prefix that all tensors' names share taken off."""
        other = copy(self)
        other.prefix = prefix
        other.shapes, other.dtypes = without_prefix(self.shapes, prefix), without_prefix(self.dtypes, prefix)
        other.held = without_prefix(self.held, prefix)
        other.values = self.values | without_prefix(self.values, prefix)
        other._read = lambda name: self._read(f"{prefix}{name}")
        return other

    @property
    def is_safetensors(self):
        return self.weights.name.removesuffix(".index.json").endswith(".safetensors")

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


def _json(file):
    try:
        return read_object(file, kind="config")
    except Unreadable as error:
        raise CheckpointError(str(error)) from error
