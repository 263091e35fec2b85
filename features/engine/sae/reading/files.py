"""Which files make up a checkpoint? The weights at a path, and the configs that lie beside them."""

from pathlib import Path

from features.engine.sae.reading.errors import CheckpointError

WEIGHTS = (".safetensors", ".pt", ".pth", ".npz", ".bin", ".ckpt")
USUAL = (  # weight files whose name alone says that they are the SAE
    "sae_weights.safetensors",
    "sae.safetensors",
    "params.safetensors",
    "final.safetensors",
    "ae.pt",
    "sae.pt",
    "params.npz",
)
SIDE_FILES = ("sparsity.safetensors", "activation_whitening.safetensors", "trainer_state.pt")
CONFIGS = (
    "cfg.json",
    "config.json",
    "hyperparams.json",
    "activation_scaler.json",
)
REFUSED = {
    "trainer_state.pt": "is the trainer's state (optimiser and schedule); the weights lie beside it",
    ".pkl": "is a bare pickle, which can run code when it is read",
    ".pickle": "is a bare pickle, which can run code when it is read",
    ".gz": "is a compressed pickle, which can run code when it is read",
}


def find_weights(path) -> Path:
    """The weight file at a path, file or folder. CheckpointError where there is none, or no saying which."""
    if not path.exists():
        raise CheckpointError(f"{path} does not exist.")
    if path.is_file():
        _refuse(path)
        return path
    weights = [f for f in sorted(path.iterdir()) if f.suffix in WEIGHTS and f.name not in SIDE_FILES]
    usual = [f for f in weights if f.name in USUAL]
    if len(usual or weights) == 1:
        return (usual or weights)[0]
    if weights:
        names = ", ".join(f.name for f in weights[:12])
        raise CheckpointError(f"{path} holds {len(weights)} weight files ({names}). Name the one to read.")
    # Llama Scope: the folder holds hyperparams.json, checkpoints/ below it the weights.
    inner = path / "checkpoints" / "final.safetensors"
    if inner.is_file():
        return inner
    raise CheckpointError(_nothing_here(path))


def find_configs(weights):
    """JSON files that speak of these weights, nearest first; one level up from a folder checkpoints/."""
    names = [f"{weights.stem}_cfg.json", f"{weights.stem}.json", *CONFIGS]
    folders = [weights.parent]
    if weights.parent.name == "checkpoints":
        folders.append(weights.parent.parent)
    configs = {}
    for folder in folders:
        for name in names:
            if (folder / name).is_file():
                # Of two files of the same name the nearer one counts.
                configs.setdefault(name, folder / name)
    return list(configs.values())


def _refuse(path):
    reason = REFUSED.get(path.name) or REFUSED.get(path.suffix)
    if reason:
        raise CheckpointError(f"{path} {reason}. Give the .safetensors or state_dict .pt file instead.")


def _nothing_here(path):
    names = sorted(f.name for f in path.iterdir())
    for name in names:
        if Path(name).suffix in REFUSED or name in REFUSED:
            _refuse(path / name)
    inner = [name for name in names if any(f.suffix in WEIGHTS for f in (path / name).glob("*"))]
    if inner:
        return f"{path} holds SAEs in folders of its own: {', '.join(inner[:12])}. Name the one to read."
    if any(name.endswith(".json") for name in names):
        return f"{path} has a config but no weights ({', '.join(names[:12])}): half written? Copy it again."
    return f"{path} holds no weight file ({', '.join(WEIGHTS)}); it holds: {', '.join(names[:12]) or 'nothing'}."
