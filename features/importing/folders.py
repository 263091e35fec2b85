"""What may somebody at a browser have read? SAEs and models below the configured folders, and nothing else."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from ..engine.foreign_files import in_words
from ..engine.sae.reading.files import WEIGHTS, is_sae_file
from ..engine.text.tokenizer_file import has_tokenizer

DEEPEST = 5  # folders below a root that are looked into
MOST = 500  # entries that a form offers
MODEL_WEIGHTS = re.compile(r"(model|pytorch_model)(-\d+-of-\d+)?\.(safetensors|bin)(\.index\.json)?")


class Outside(ValueError):
    """A path that is not below a configured folder."""


def roots() -> list[Path]:
    """The configured folders that are there, absolute."""
    return [Path(root).absolute() for root in settings.SAEVIZ_FOLDERS if root and Path(root).is_dir()]


def inside(path) -> Path:
    """The path itself. Raises Outside unless what it leads to, every link resolved, is below a configured folder.

    It is given back as it was asked for: configs lie beside a link of the hub's cache, not beside its target.
    """
    asked = Path(path)
    folders = ", ".join(map(str, settings.SAEVIZ_FOLDERS))
    if ".." in asked.parts or not asked.is_absolute():
        raise Outside(f"{path} is refused: give a whole path without “..”, below {folders}.")
    if not _is_below(asked):
        raise Outside(f"{path} is not below {folders}. Move it there, or add its folder to SAEVIZ_FOLDERS.")
    return asked


def checkpoints() -> list[Path]:
    """Weight files below the configured folders that may be SAEs; a model's own weights are left out."""
    paths = []
    for folder, files in _folders():
        weights = [name for name in files if name.endswith(WEIGHTS) and is_sae_file(name)]
        if not is_model(folder):
            paths += [folder] if len(weights) == 1 else [folder / name for name in weights]
    return [path for path in paths if _is_below(path)][:MOST]


def model_folders() -> list[Path]:
    """Folders below the configured ones, and below DATA_DIR/models, that hold a language model."""
    return [folder for folder, _ in _folders(settings.DATA_DIR / "models") if is_model(folder)][:MOST]


def no_models() -> list[tuple[Path, str]]:
    """Folders that look like language models and are not offered, and why, in words."""
    return [
        (folder, "it has no tokenizer. Put the model's tokenizer.json beside its weights.")
        for folder, files in _folders(settings.DATA_DIR / "models")
        if "config.json" in files and any(MODEL_WEIGHTS.fullmatch(name) for name in files) and not is_model(folder)
    ][:MOST]


def is_model(folder: Path) -> bool:
    """Also one whose tokenizer has yet to be saved as tokenizer.json: what reads it says how."""
    return (folder / "config.json").is_file() and has_tokenizer(folder)


def _is_below(path: Path) -> bool:
    return any(path.resolve().is_relative_to(root.resolve()) for root in roots())


def _folders(*more: Path) -> Iterator[tuple[Path, list[str]]]:
    """(folder, its files in order) of everything below the roots, to a bounded depth; links are not followed,
    and names that are not UTF-8 are passed over."""
    for root in [*roots(), *more]:
        for folder, inner, files in os.walk(root):
            depth = len(Path(folder).relative_to(root).parts)
            inner[:] = sorted(filter(_is_offered, inner))[: MOST if depth < DEEPEST else 0]
            yield Path(folder), sorted(name for name in files if in_words(name) == name)


def _is_offered(folder: str) -> bool:
    """A name that is not UTF-8 fits into no form and no row."""
    return not folder.startswith(".") and in_words(folder) == folder
