"""Which hashes did a checkpoint have before it was its weights? Rows that carry one of them are recognised by it."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from features.engine.files import sha256
from features.engine.foreign_files import opened_plain
from features.engine.sae.reading.files import find_configs, find_weights

BLOCK = 2**22  # bytes read at a time
FINDINGS = "findings.json"  # what people wrote was no part of a hash then either


def old_hashes(path) -> Iterator[str]:
    """The hash (hex) that an import gave the checkpoint at `path`, then the one that the demo's loading did.

    One after another, as each reads the files. Raises CheckpointError where `path` has no weights.
    """
    path = Path(path)
    yield _of_weights_and_configs(find_weights(path))
    yield _of_all_files(path)


def _of_weights_and_configs(weights: Path) -> str:
    parts = [_with_length(weights), *sorted(map(_with_length, find_configs(weights)))]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def _with_length(file: Path) -> bytes:
    # The length in decimal and a zero byte stood in front of the content.
    digest = hashlib.sha256(str(file.stat().st_size).encode() + b"\0")
    with opened_plain(file) as content:
        while block := content.read(BLOCK):
            digest.update(block)
    return digest.digest()


def _of_all_files(path: Path) -> str:
    files = [path]
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file() and file.name != FINDINGS)
    lines = (f"{file.relative_to(path.parent)} {sha256(file)}\n" for file in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
