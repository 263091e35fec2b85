"""Is this the very checkpoint that was read before? One hash over its weights and configs."""

import hashlib
from pathlib import Path

from features.engine.sae.reading.files import find_configs, find_weights


def checkpoint_hash(path) -> str:
    """SHA-256 (hex) of the weight file at `path` and the configs read with it, whatever they are called.

    Each file counts with its length in front, weights first, configs in the order of their own hashes. Raises
    CheckpointError where `path` has no weights.
    """
    weights = find_weights(Path(path))
    parts = [_file_hash(weights), *sorted(_file_hash(config) for config in find_configs(weights))]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def _file_hash(file):
    digest = hashlib.sha256(str(file.stat().st_size).encode() + b"\0")
    with file.open("rb") as content:
        while block := content.read(2**22):
            digest.update(block)
    return digest.digest()
