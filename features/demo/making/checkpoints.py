"""How does a training run survive being killed? Its whole state in one file that is always either old or new."""

import json
from pathlib import Path

import torch

from ...engine.files import whole_file


def save(path: Path, state: dict) -> None:
    with whole_file(path) as temporary:
        torch.save(state, temporary)


def load(path: Path, device: str = "cpu") -> dict | None:
    """The state last saved, or None when there is none."""
    return torch.load(path, map_location=device, weights_only=True) if path.exists() else None


def write_json(path: Path, value) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n")


def read_json(path: Path):
    return json.loads(path.read_text()) if path.exists() else {}


def state_of(run) -> dict:
    """Weights and optimisers of a run, and whatever else it names in `STATE`."""
    optimisers = {name: optimiser.state for name, optimiser in run.optimisers.items()}
    return {"weights": run.weights, "optimisers": optimisers, **{name: getattr(run, name) for name in run.STATE}}


def restore(run, state: dict) -> None:
    """The reverse, into the run's own tensors."""
    for name, weight in run.weights.items():
        weight.copy_(state["weights"][name])
        for key, value in run.optimisers[name].state.items():
            value.copy_(state["optimisers"][name][key])
    for name in run.STATE:
        setattr(run, name, state[name])
