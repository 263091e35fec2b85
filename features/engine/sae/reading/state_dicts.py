"""Under which key of a saved object do an SAE's weights lie? Trainers wrap them, each in its own way."""

from collections.abc import Iterator

import torch

from features.engine.sae.reading.errors import CheckpointError
from features.engine.sae.reading.pickled_numpy import Array

USUAL = {  # names under which trainers put the weights; of several the one with the lowest number is meant
    **dict.fromkeys(("ae", "sae", "sae_state_dict", "autoencoder", "dictionary"), 0),
    **dict.fromkeys(("state_dict", "model_state_dict"), 1),
    "model": 2,
}
OTHERS = ("optimizer", "optim", "opt", "scheduler", "lr_scheduler", "scaler", "ema", "grad")  # state of a trainer
DEEPEST = 5  # dicts inside dicts that are looked into
MOST = 10_000  # dicts looked at


def sort_out(path, content: dict) -> tuple[dict, dict]:
    """(tensors by name, what else lies beside them and above). The key they lay under is "wrapped_in" among the rest.

    CheckpointError where several dicts of tensors could be the weights, or none.
    """
    values, where = {}, _only_one(path, content)
    for key in where:
        values |= _beside(content, key)
        values["wrapped_in"] = key
        content = content[key]
    content = {str(name): _number(value) for name, value in content.items()}
    tensors = {name: value for name, value in content.items() if isinstance(value, torch.Tensor)}
    values |= {name: value for name, value in content.items() if not isinstance(value, torch.Tensor)}
    return tensors, values


def _only_one(path, content: dict) -> tuple:
    """The keys that lead to the one dict that can be the weights: of several the one with the most telling name."""
    found = list(_dicts_of_tensors(content))
    # A low rank is a telling name: 0 for names that only an SAE has.
    telling = min((_rank(keys) for keys in found), default=0)
    chosen = [keys for keys in found if _rank(keys) == telling]
    if len(chosen) > 1:
        named = ", ".join(".".join(map(str, keys)) or "the outermost" for keys in found[:12])
        raise CheckpointError(
            f"{path} holds {len(found)} dicts of tensors ({named}), and nothing tells which is the SAE. Save the one "
            "that is by itself: torch.save(sae.state_dict(), 'sae.pt')."
        )
    return chosen[0] if chosen else ()


def _rank(keys: tuple) -> int:
    return min((USUAL.get(key, len(USUAL)) for key in keys if isinstance(key, str)), default=len(USUAL))


def _dicts_of_tensors(content: dict) -> Iterator[tuple]:
    """The keys that lead to each dict with a matrix of its own, outermost first."""
    waiting, looked_at = [((), content)], 0
    while waiting and looked_at < MOST:
        # Breadth first: a dict that lies less deep comes before those inside of it.
        keys, inner = waiting.pop(0)
        looked_at += 1
        if _has_matrix(inner):
            yield keys
        if len(keys) < DEEPEST:
            waiting += [
                ((*keys, key), value)
                for key, value in inner.items()
                if isinstance(value, dict) and not str(key).lower().startswith(OTHERS)
            ]


def _has_matrix(content: dict) -> bool:
    return any(len(getattr(value, "shape", ())) == 2 for value in content.values())


def _beside(content: dict, key) -> dict:
    return {str(name): _number(value) for name, value in content.items() if name != key}


def _number(value):
    """numpy's arrays as tensors, where they hold numbers; all else as it is."""
    tensor = value.tensor() if isinstance(value, Array) else None
    return value if tensor is None else tensor
