"""Are these the very weights that were read before, and are they read in the same way?

A checkpoint is its weights. How they are read (configs, answers, hook point) decides what is computed of them and
stands beside their hash: what people say of a feature belongs to the weights, figures to both.
"""

import hashlib
import json
from pathlib import Path

from features.engine.files import sha256, sha256_of_weights
from features.engine.sae.reading.files import find_configs, find_weights, weight_files


def checkpoint_hash(path) -> str:
    """SHA-256 (hex) of the weights at `path`, a file or the folder it lies in, whatever they are called.

    Of weights in one file it is the hash that `sha256sum` prints, and the one that a hub lists; of several, that of
    their hashes in the order of their names. Raises CheckpointError where `path` has no weights.
    """
    return sha256_of_weights(weight_files(find_weights(Path(path))))


def configs_hash(path) -> str:
    """SHA-256 (hex) of the configs that are read with the weights at `path`, whatever they are called.

    It is that of their hashes in order; where there are none, that of nothing. Raises CheckpointError where `path` has
    no weights.
    """
    # Sorted by hash: the same configs under other names come in another order.
    configs = find_configs(find_weights(Path(path)))
    return hashlib.sha256("".join(sorted(map(sha256, configs))).encode()).hexdigest()


def reading_hash(configs_hash: str, hook_point: str, answers: dict | None) -> str:
    """SHA-256 (hex) of all that decides how weights are read, beside themselves."""
    # Keys in order: the same answers, given in another one, are the same reading.
    return hashlib.sha256(json.dumps([configs_hash, hook_point, answers or {}], sort_keys=True).encode()).hexdigest()
