"""Which files make up a checkpoint? The weights at a path, and the configs that lie beside them."""

import re
from pathlib import Path

from features.engine.foreign_files import in_words
from features.engine.sae.reading.errors import CheckpointError
from features.engine.sae.reading.shards import index_of, is_index, is_orphan, parts_of

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
DEEPEST, MOST = 4, 500  # folders below a folder that SAEs are looked for in, and how many are named
TRAINERS = re.compile(r"(optimizer|(lr_)?scheduler|(rank_\d+_)?state|training_args|rng_state)([_-]?\d+)?\.(pt|pth|bin)")
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
    """The weight file at a path, file or folder; of weights in several files the index of them.

    CheckpointError where there is none, or no saying which.
    """
    if not path.exists():
        raise CheckpointError(f"{path} does not exist.")
    if path.is_file():
        _refuse(path)
        return index_of(path) or _whole(path)
    if not path.is_dir():
        raise CheckpointError(f"{path} is neither a file nor a folder, a pipe perhaps. Name the one to read.")
    weights = weights_in(path)
    usual = [f for f in weights if f.name.removesuffix(".index.json") in USUAL]
    if len(usual or weights) == 1:
        return _whole((usual or weights)[0])
    if weights:
        _whole(weights[0])
        names = ", ".join(f.name for f in weights[:12])
        raise CheckpointError(f"{path} holds {len(weights)} weight files ({names}). Name the one to read.")
    # Llama Scope: the folder holds hyperparams.json, checkpoints/ below it the weights.
    inner = path / "checkpoints" / "final.safetensors"
    if inner.is_file():
        return inner
    raise CheckpointError(_nothing_here(path))


def find_saes(folder) -> list[Path]:
    """What can be read as an SAE in a folder of several, a whole run: folders with one weight file, or files.

    Empty where the folder is no such one: one SAE, or none.
    """
    try:
        find_weights(folder)
        return []
    except CheckpointError:
        found = list(_saes_below(folder, 0)) if folder.is_dir() else []
        return found[:MOST]


def weight_files(weights: Path) -> list[Path]:
    """The files that hold the weights: of an index all that it names. CheckpointError where one is missing."""
    return parts_of(weights) if is_index(weights) else [weights]


def _whole(file: Path) -> Path:
    if is_orphan(file):
        raise CheckpointError(
            f"{file} is one of several parts, and the index that names them is not beside it. Copy the file whose name "
            "ends in .index.json, too."
        )
    return file


def weights_in(folder: Path) -> list[Path]:
    """Weight files of a folder in order; parts of one give way to their index."""
    files = [f for f in sorted(folder.iterdir()) if f.is_file() and is_sae_file(f.name)]
    indices = [f for f in files if is_index(f)]
    return [*indices, *(f for f in files if f.suffix in WEIGHTS and index_of(f) is None)]


def is_sae_file(name: str) -> bool:
    """Whether a file may hold an SAE by its name: trainers leave others of the same endings beside it, and a name that
    is not UTF-8 fits into no form and no row."""
    return name not in SIDE_FILES and not TRAINERS.fullmatch(name) and in_words(name) == name


def _saes_below(folder: Path, depth: int):
    weights = weights_in(folder)
    if (folder / "tokenizer.json").is_file():
        return  # a language model
    if len(weights) == 1:
        # dictionary_learning's trainer folders have checkpoints beside the finished ae.pt.
        yield folder
    else:
        yield from weights
    if depth < DEEPEST:
        for inner in sorted(f for f in folder.iterdir() if _is_inner(f)):
            yield from _saes_below(inner, depth + 1)


def _is_inner(folder: Path) -> bool:
    return (
        folder.is_dir()
        and not folder.is_symlink()
        and not folder.name.startswith(".")
        and in_words(folder) == str(folder)
    )


def find_configs(weights):
    """JSON files that speak of these weights, nearest first; one level up from a folder checkpoints/."""
    # "sae_weights.safetensors.index.json" speaks of sae_weights.
    stem = weights.name.split(".")[0] if is_index(weights) else weights.stem
    names = [f"{stem}_cfg.json", f"{stem}.json", *CONFIGS]
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
