"""How does a training run survive being killed? Its whole state in one file that is always either old or new."""

import json
from dataclasses import asdict, is_dataclass
from pathlib import Path

import torch

from ...engine.files import whole_file

FREE = ("tokens", "workers", "dtype", "device", "checkpoints")  # may change under way, tokens until the decay


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
    """Weights, optimisers and settings of a run, and whatever else it names in `STATE`; dataclasses as their fields."""
    optimisers = {name: optimiser.state for name, optimiser in run.optimisers.items()}
    others = {name: getattr(run, name) for name in run.STATE}
    others = {name: dict(vars(value)) if is_dataclass(value) else value for name, value in others.items()}
    settings = {**deciding(run.settings), "tokens": run.settings.tokens}
    return {"weights": run.weights, "optimisers": optimisers, "settings": settings, **others}


def deciding(settings) -> dict:
    """Those of a run's settings that decide its weights, besides the tokens to read."""
    return {name: value for name, value in asdict(settings).items() if name not in FREE}


def refuse_others(path: Path, state: dict, settings) -> None:
    """Raises ValueError where a run was begun with other settings than it is to go on with.

    A change on the way is a shock from which half of a dictionary may not recover.
    """
    begun = state.get("settings") or {}  # states of the first version name none
    for name, now in deciding(settings).items():
        if name in begun and begun[name] != now:
            raise ValueError(
                f"{path} was begun with {name} {begun[name]}, this call says {now}. Go on with the same number, or "
                "begin anew in another folder."
            )
    refuse_another_end(path, state, begun, settings)


def refuse_another_end(path: Path, state: dict, begun: dict, settings) -> None:
    """Raises ValueError where the tokens to read are changed after the rate has begun to fall."""
    tokens = begun.get("tokens", settings.tokens)
    if tokens != settings.tokens and state["done"] > (1 - settings.decay) * min(tokens, settings.tokens):
        raise ValueError(
            f"{path} has read {state['done']:,} tokens, and for a budget of {tokens:,} or {settings.tokens:,} the rate "
            f"falls by then: it can no longer be changed. Go on with {tokens:,}."
        )


def restore(run, state: dict, path: Path) -> None:
    """The reverse, into the run's own tensors. Raises ValueError where the state is not one of such a run."""
    if missing := [name for name in run.STATE if name not in state]:
        raise ValueError(f"{path} has no {missing[0]}: another version began it. Go on with that, or delete the file.")
    refuse_others(path, state, run.settings)
    for name, weight in run.weights.items():
        weight.copy_(state["weights"][name])
        for key, value in run.optimisers[name].state.items():
            value.copy_(state["optimisers"][name][key])
    for name in run.STATE:
        if is_dataclass(value := getattr(run, name)):
            vars(value).update(state[name])
        else:
            setattr(run, name, state[name])
