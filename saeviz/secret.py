"""The signing key of this installation: made once, kept beside its data."""

import os
import secrets
from pathlib import Path


def key(path: Path) -> str:
    """Read the key at `path`, making it first if there is none. Where nothing can be written, one for this
    process only."""
    try:
        return path.read_text()
    except OSError:
        new = secrets.token_urlsafe(50)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(new)
    except FileExistsError:
        return path.read_text()
    except OSError:
        pass
    return new
