"""What was found of a language model, once for its weights and config; rows of SAEs keep it for whoever loads it.

A worker looks (engine/model/model_check.py), in a child: what config and weights make libraries do has bounds there
before anybody loads them for good. The site reads. Files that have changed since are looked at again.
"""

import hashlib
from functools import lru_cache
from pathlib import Path

from ..engine.confined.process import ChildEnded
from ..engine.files import sha256_of_weights
from ..engine.foreign_files import plain_bytes
from ..engine.model.config import ModelError
from ..engine.model.hook_points import hook_widths, usual_first
from ..engine.model.verdict import Verdict
from ..models import SAE
from .opened import opened

TIMES = 8  # bytes that a model takes for each of its files', halves made whole and copied as it is read
WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.pth")


def known(sae: SAE) -> Verdict | None:
    """What was found of an SAE's model; None where nobody looked, or its files are others by now."""
    if not sae.verdict or sae.verdict.get("files") != _files(sae.model_path):
        return None
    return _read(sae)


def find(model_path) -> Verdict | None:
    """The same of a model that another SAE was read with, wherever that one's lay."""
    same = SAE.objects.filter(verdict__key=identity(model_path)).first()
    return same and _read(same)


def look(model_path, vocabulary, tick=None) -> Verdict:
    """What the check finds of a model, in a child; `tick()` is called while it is waited for. Raises ModelError."""
    from ..engine.model import language_model, model_check  # and torch with them

    folder = Path(model_path)
    size = sum(file.stat().st_size for file in weight_files(folder))
    try:
        return opened(
            (*language_model.opened_with(folder), model_check.__name__),
            f"{model_check.__name__}:find_verdict",
            *(folder, vocabulary.ids(model_check.TEXT)),
            what=f"The model in {folder} ({size:,} bytes of weights)",
            size=size,
            times=TIMES,
            tick=tick,
        )
    except ChildEnded as ended:
        raise ModelError(str(ended)) from ended


def _read(sae: SAE) -> Verdict | None:
    try:
        return Verdict.from_dict(sae.verdict["found"])
    except ValueError:  # of another version: it is looked at again
        return None


def record(model_path, verdict: Verdict) -> dict:
    """What a row keeps."""
    return {"key": identity(model_path), "files": _files(model_path), "found": verdict.to_dict()}


def hooks_of(model_path) -> dict[str, int]:
    """{hook point: width} of a model, last block first and its most usual site first: as it was found when it was
    loaded, or as its config promises. Empty where that says too little."""
    for sae in SAE.objects.filter(model_path=str(model_path), verdict__isnull=False):
        if verdict := known(sae):
            return dict(sorted(verdict.hook_points.items(), key=lambda hook: usual_first(hook[0])))
    return hook_widths(model_path)


def model_hash(model_path) -> str:
    """SHA-256 (hex) of a model's weights: of one file as `sha256sum` prints it, of several that of their hashes in the
    order of their names. Empty where there are none of a usual ending."""
    return _hash(str(model_path), str(_files(model_path)))


@lru_cache(maxsize=16)
def _hash(model_path: str, files: str) -> str:  # sizes and times are in the key: what has changed is read again
    return sha256_of_weights(weight_files(model_path))


def identity(model_path) -> str:
    """Of weights and config."""
    config = plain_bytes(Path(model_path) / "config.json")
    return hashlib.sha256(model_hash(model_path).encode() + config).hexdigest()


def _files(model_path) -> dict[str, list[int]]:
    """{name: [bytes, time]} of config and weights: a look that tells whether they are the same."""
    files = [Path(model_path) / "config.json", *weight_files(model_path)]
    stats = {file.name: file.stat() for file in files if file.is_file()}
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}


def weight_files(model_path) -> list[Path]:
    """That hold a model's weights; none where there is no such folder."""
    found = {file for pattern in WEIGHTS for file in Path(model_path).glob(pattern)}
    files = sorted(file for file in found if file.is_file())
    # The same weights in two forms: the first that transformers would take.
    return [file for file in files if file.suffix == ".safetensors"] or files
