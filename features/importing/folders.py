"""What may somebody at a browser have read? SAEs and models below the configured folders, and nothing else."""

import os
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from django.conf import settings

from ..engine.foreign_files import in_words
from ..engine.sae.reading.files import WEIGHTS, find_configs, find_weights, is_sae_file, weight_files
from ..engine.text.tokenizer_file import has_tokenizer

DEEPEST = 5  # folders below a root that are looked into
MOST = 500  # entries that a form offers
MOST_LINKS = 5  # named one by one
REPOSITORY = re.compile(r"(models|datasets|spaces)--.+")  # a folder of the hub's cache
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
    if not _may_lead(asked, roots()):
        raise Outside(f"{_named(asked)} is not below {folders}. Move it there, or add its folder to SAEVIZ_FOLDERS.")
    return asked


def sae_inside(path) -> None:
    """Raises Outside where an SAE, or a file that is read of it, leads elsewhere by a link; CheckpointError where it is
    none. To be called before any of them is opened."""
    weights = find_weights(inside(path))
    inside(weights)  # an index, before it is read
    for file in (*weight_files(weights), *find_configs(weights)):
        inside(file)


def model_inside(folder: Path) -> None:
    """The same of a language model that is known here, wherever its folder lies: its files may not lead out of it."""
    if out := _led_out(folder):
        allowed = ", ".join(map(str, settings.SAEVIZ_FOLDERS))
        raise Outside(f"{_named(out)} is not below {allowed}. Put the file there, or its folder into SAEVIZ_FOLDERS.")


def links_led(paths: Iterable[Path]) -> list[str]:
    """Sentences on those of the paths that are links; but those of the hub's cache into the same repository."""
    links = [path for path in dict.fromkeys(paths) if path.is_symlink() and not _is_blob(path)]
    more = [f"{len(links) - MOST_LINKS:,} more files are links."] if len(links) > MOST_LINKS else []
    return [f"{in_words(link)} is a link to {in_words(link.resolve())}." for link in links[:MOST_LINKS]] + more


def checkpoints() -> list[Path]:
    """Weight files below the configured folders that may be SAEs; a model's own weights are left out."""
    paths = []
    for folder, files in _folders():
        weights = [name for name in files if name.endswith(WEIGHTS) and is_sae_file(name)]
        if not is_model(folder):
            paths += [folder] if len(weights) == 1 else [folder / name for name in weights]
    return [path for path in paths if _may_lead(path, roots())][:MOST]


def model_folders() -> list[Path]:
    """Folders below the configured ones, and below DATA_DIR/models, of language models that lead nowhere else."""
    found = (folder for folder, _ in _folders(settings.DATA_DIR / "models") if is_model(folder))
    return list(islice((folder for folder in found if not _led_out(folder)), MOST))


def no_models() -> list[tuple[Path, str]]:
    """Folders that look like language models and are not offered, and why, in words."""
    told = []
    for folder, files in _folders(settings.DATA_DIR / "models"):
        if "config.json" in files and any(MODEL_WEIGHTS.fullmatch(name) for name in files) and not is_model(folder):
            told.append((folder, "it has no tokenizer. Put the model's tokenizer.json beside its weights."))
        elif is_model(folder) and (out := _led_out(folder)):
            told.append((folder, f"{_named(out)} is not below SAEVIZ_FOLDERS."))
    return told[:MOST]


def is_model(folder: Path) -> bool:
    """Also one whose tokenizer has yet to be saved as tokenizer.json: what reads it says how."""
    return (folder / "config.json").is_file() and has_tokenizer(folder)


def _may_lead(path: Path, allowed: list[Path]) -> bool:
    """Below one of the folders, every link resolved; or from a snapshot there into the blobs of its own repository."""
    return _is_below(path.resolve(), allowed) or (_is_below(path.parent.resolve(), allowed) and _is_blob(path))


def _is_below(resolved: Path, allowed: list[Path]) -> bool:
    return any(resolved.is_relative_to(folder.resolve()) for folder in allowed)


def _is_blob(path: Path) -> bool:
    """Whether a file of the hub's cache, models--owner--name/snapshots/..., is a link to that repository's blobs/."""
    target, home = path.resolve(), path.parent.resolve()
    return any(
        snapshots.name == "snapshots"
        and REPOSITORY.fullmatch(snapshots.parent.name)
        # The repository's folder is resolved, its blobs are not: they may not be a link themselves.
        and target.is_relative_to(snapshots.parent / "blobs")
        for snapshots in (home, *home.parents)
    )


def _led_out(folder: Path) -> Path | None:
    """The first file of a model that is a link to elsewhere."""
    allowed = [*roots(), settings.DATA_DIR / "models", folder]
    links = (entry for entry in folder.iterdir() if entry.is_symlink())
    return next((link for link in sorted(links) if not _may_lead(link, allowed)), None)


def _named(path: Path) -> str:
    """As a sentence begins: with where a link leads."""
    target = path.resolve()
    return f"{path} is a link to {target}, which" if target != path.absolute() else str(path)


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
