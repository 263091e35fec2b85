"""What is a file's hash? One SHA-256 for checkpoints, corpora and downloads."""

import hashlib
from pathlib import Path


def sha256(path) -> str:
    """SHA-256 (hex) of a file's bytes, as `sha256sum` prints it."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
