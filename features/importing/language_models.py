"""Which language model is meant by a name, and which are on this machine? No hub is asked."""

import os
from pathlib import Path

from django.conf import settings

from ..engine.model.config import ModelError, read_config
from ..engine.text.tokenizer_file import FILE, has_tokenizer
from ..models import SAE
from ..storage.verdicts import hooks_of
from .folders import is_model, model_folders, model_inside

SAME = {"gpt2-small": "gpt2"}  # names that libraries give to one model
BUNDLED = {settings.BASE_DIR / "features" / "demo" / "model": "gelu-1l-mini"}
GENERIC = {"model", "models", "lm", "base", "snapshot", "checkpoint", "weights", "hf"}  # names that tell nothing


class UnknownModel(ValueError):
    """No such model on this machine; the message lists those that are and says how to get one."""


def find(name, restricted: bool = False) -> Path:
    """The folder of a model: a folder itself, the name of one known here, or of one in Hugging Face's cache.

    `restricted`: a folder only where it is a known one, and one whose files lead nowhere else. Raises UnknownModel,
    Outside.
    """
    folder, known_here = Path(name).expanduser(), known_folders() if restricted else None
    if folder.is_dir() and (known_here is None or folder.absolute() in known_here):
        return _readable(_whole(folder.absolute()), restricted)
    for known in known_folders() if known_here is None else known_here:
        if _plain(str(name)) in _names(known):
            return _readable(known, restricted)
    raise UnknownModel(
        f"No language model {str(name)!r} is on this machine; known are {_listed()}. Give the folder with its "
        f"config.json, weights and tokenizer.json: --model FOLDER (hf download {name} --local-dir FOLDER gets one)."
    )


def known_folders() -> list[Path]:
    """Models of SAEs that are here already, those below the configured folders, those in the hub's cache."""
    registered = [Path(path) for path in SAE.objects.order_by("pk").values_list("model_path", flat=True)]
    folders = [*registered, *model_folders(), *_cached()]
    return [folder for folder in dict.fromkeys(folders) if is_model(folder)]


def fitting(width: int) -> list[Path]:
    """The known models that have a hook point of this width."""
    return [folder for folder in known_folders() if width in hooks_of(folder).values()]


def _whole(folder: Path) -> Path:
    """The folder, if it holds a model. What is wrong with its tokenizer is told by what reads that."""
    for name, there, what in (
        ("config.json", (folder / "config.json").is_file(), "its shape"),
        (FILE, has_tokenizer(folder), "its tokens"),
    ):
        if not there:
            has = ", ".join(sorted(file.name for file in folder.iterdir())[:8]) or "nothing"
            raise UnknownModel(f"{folder} has no {name}, which says {what}; it holds {has}. Give a model's folder.")
    return folder


def _readable(folder: Path, restricted: bool = False) -> Path:
    """Raises UnknownModel where its config is none: told when asked, not after weights were loaded."""
    if restricted:
        model_inside(folder)
    try:
        read_config(folder)
    except ModelError as error:
        raise UnknownModel(str(error)) from error
    return folder


def name_of(folder: Path) -> str:
    """What a model folder is called: owner/name in the hub's cache, else the folder's own name, with the one above it
    where that tells nothing. What SAEs that were read with it call their model is no name of it."""
    folder = Path(folder)
    if bundled := BUNDLED.get(folder):
        return bundled
    for part in reversed(folder.parts):
        if part.startswith("models--"):
            return "/".join(part.split("--")[1:])
    return "/".join(folder.parts[-2:]) if folder.name.lower() in GENERIC else folder.name


def is_called(folder: Path, name: str) -> bool:
    """Whether a name, with an owner in front or without, is one of a model folder."""
    return _plain(name) in _names(folder)


def _names(folder: Path) -> set[str]:
    """What a model folder may be called: by its own name, by its place in the hub's cache."""
    return {_plain(folder.name), _plain(name_of(folder))}


def _plain(name: str) -> str:
    last = name.rstrip("/").split("/")[-1].lower()
    return SAME.get(last, last)


def _cached() -> list[Path]:
    home = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface").expanduser()
    return sorted((Path(os.environ.get("HF_HUB_CACHE") or home / "hub")).glob("models--*/snapshots/*"))


def _listed() -> str:
    return ", ".join(str(folder) for folder in known_folders()[:8]) or "none"
