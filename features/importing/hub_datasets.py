"""Which files of a dataset on the hub are its text, and how do they get here? For commands; no page asks a hub."""

import fnmatch
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from ..engine.corpus.documents import MAX_BYTES, READERS, CorpusError, texts_among
from . import hub
from .hub_transfer import DownloadProgress

NAME = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class DatasetFiles:
    """Files of a dataset that are here."""

    folder: Path
    files: list[Path]
    licence: str  # where they come from, and their licence as the authors put it


def is_dataset(name: str) -> bool:
    """Whether something that is no path here can be the name of a dataset: owner/name."""
    return NAME.fullmatch(name) is not None and not Path(name).expanduser().exists()


def fetch_dataset(
    dataset: str, pattern: str = "", progress: Callable[[DownloadProgress], None] | None = None
) -> DatasetFiles:
    """The texts of a dataset, downloaded once: files that fit `pattern`, else those of its training split.

    Raises CorpusError where there are none or they are too many, HubError where they cannot be had.
    """
    folder, repository = settings.DATA_DIR / "hub", f"{hub.DATASETS}{dataset}"
    listing = hub.list_named_repo(repository, dataset, folder)
    chosen = _chosen(dataset, listing, pattern)
    size = sum(listing.sizes[name] for name in chosen)
    if size > MAX_BYTES:
        raise CorpusError(
            f"{len(chosen):,} files of {dataset} have {size:,} bytes; at most {MAX_BYTES:,} are read at once. Choose "
            f"some of them: --files '{chosen[0]}'"
        )
    files = [hub.fetch_file(repository, name, folder, progress) for name in chosen]
    licence = f", licence as its authors say: {listing.licence}" if listing.licence else ""
    return DatasetFiles(folder / repository, files, f"{dataset} from the Hugging Face hub{licence}.")


def _chosen(dataset: str, listing: hub.RepoListing, pattern: str) -> list[str]:
    texts = [str(path) for path in texts_among([Path(name) for name in sorted(listing.sizes)])]
    if pattern:
        chosen = [name for name in texts if fnmatch.fnmatch(name, pattern)]
    else:
        chosen = [name for name in texts if "train" in name] or texts
    if chosen:
        return chosen
    known, has = ", ".join(READERS), ", ".join((texts or [*listing.sizes])[:8]) or "nothing"
    wanted = f"fits {pattern!r}" if pattern and texts else f"ends in one of {known}"
    raise CorpusError(f"No file of {dataset} {wanted}; it has {has}. Choose with --files, or convert it to .jsonl.")
