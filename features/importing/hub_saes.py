"""Which files of a hub repository make up one SAE, and how do they get here? For commands; no page asks a hub."""

import re
from collections.abc import Callable
from pathlib import Path

from django.conf import settings

from ..engine.foreign_files import in_bytes
from ..engine.sae.reading.errors import CheckpointError
from ..engine.sae.reading.files import WEIGHTS, is_sae_file
from ..engine.sae.reading.shards import INDEX, PART
from . import hub
from .hub_transfer import DownloadProgress

NAME = re.compile(r"([\w.-]+/[\w.-]+)(?:/([\w./-]+))?")
MOST_NAMED = 12  # folders or files that a refusal lists


def is_on_hub(name: str) -> bool:
    """Whether something that is no path here can be an SAE of the hub: owner/name, owner/name/folder or /file."""
    known = NAME.fullmatch(name) is not None and ".." not in name
    return known and not name.startswith(("/", ".")) and not Path(name).expanduser().exists()


def fetch_sae(name: str, progress: Callable[[DownloadProgress], None] | None = None) -> Path:
    """The weight file of an SAE, or the index of several, with its configs beside it, downloaded once.

    Raises CheckpointError where the name is that of no SAE or of several, or its weights are too large; HubError.
    """
    repository, inside = NAME.fullmatch(name).groups(default="")
    inside = inside.strip("/")
    folder = settings.DATA_DIR / "hub"
    sizes = hub.list_named_repo(repository, name, folder).sizes
    weights = _weights(name, sizes, inside)
    parts = _parts(sizes, weights)
    if not parts:
        raise CheckpointError(
            f"{name}: {weights} is an index, and {repository} has none of its parts. Name a weight file."
        )
    size = sum(sizes[part] for part in parts)
    if size > settings.SAEVIZ_MAX_BYTES:
        raise CheckpointError(
            f"{name}: {weights} has {in_bytes(size)}, more than the {in_bytes(settings.SAEVIZ_MAX_BYTES)} "
            "allowed. Raise SAEVIZ_MAX_BYTES if the machine has the memory."
        )
    for config in _configs(sizes, weights):
        hub.fetch_file(repository, config, folder, progress)
    for part in parts:
        fetched = hub.fetch_file(repository, part, folder, progress)
    return fetched.with_name(Path(weights).name)


def _weights(name: str, sizes: dict[str, int], inside: str) -> str:
    """The weight file that is named, or the only one of the folder that is."""
    if inside in sizes:
        return inside
    below = [file for file in sizes if not inside or file.startswith(f"{inside}/")]
    weights = [file for file in below if _is_sae(file) and _index_of(file) not in sizes]
    here = [file for file in weights if _folder(file) == inside]
    if len(here) == 1 or len(weights) == 1:
        return (here or weights)[0]
    if not weights:
        listed = ", ".join(sorted(below or sizes)[:MOST_NAMED]) or "nothing"
        endings = ", ".join(WEIGHTS)
        raise CheckpointError(f"{name} holds no weights ({endings}); it has {listed}. Name the SAE's folder.")
    repository = name.removesuffix(f"/{inside}") if inside else name
    choices = sorted(here or {_folder(file) or file for file in weights})
    listed = ", ".join(f"{repository}/{choice}" for choice in choices[:MOST_NAMED])
    raise CheckpointError(f"{name} holds {len(weights):,} weight files. Name one of {len(choices):,}: {listed}.")


def _parts(sizes: dict[str, int], weights: str) -> list[str]:
    """The files that hold the weights: of an index the parts beside it whose names begin as its own does."""
    if not weights.endswith(INDEX):
        return [weights]
    return sorted(file for file in sizes if _index_of(file) == weights)


def _index_of(file: str) -> str | None:
    """The index of a part by its name; None of a file that is none."""
    match = PART.fullmatch(file)
    return f"{match[1]}{match[3]}{INDEX}" if match else None


def _is_sae(file: str) -> bool:
    return file.endswith((*WEIGHTS, INDEX)) and is_sae_file(Path(file).name)


def _configs(sizes: dict[str, int], weights: str) -> list[str]:
    """What may say something of these weights: JSON beside them, and one folder up."""
    folders = {_folder(weights), _folder(_folder(weights))} if _folder(weights) else {""}
    return sorted(file for file in sizes if file.endswith(".json") and _folder(file) in folders)


def _folder(file: str) -> str:
    return file.rpartition("/")[0]
