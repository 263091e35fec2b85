"""How a training run survives being killed: its whole state in one file that is always either old or new."""

import json
from pathlib import Path

import torch


def save(path: Path, state: dict) -> None:
    """Writes beside the file, then renames over it: a reader never meets half a checkpoint."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    torch.save(state, temporary)
    temporary.replace(path)


def load(path: Path, device: str = "cpu") -> dict | None:
    """The state last saved, or None when there is none."""
    return torch.load(path, map_location=device, weights_only=True) if path.exists() else None


def write_json(path: Path, value) -> None:
    """The same promise for a small readable file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(json.dumps(value, indent=1) + "\n")
    temporary.replace(path)


def read_json(path: Path):
    return json.loads(path.read_text()) if path.exists() else {}
