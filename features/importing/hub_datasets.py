"""Which files of a dataset on the hub are its text, and how do they get here? For commands; no page asks a hub."""

import fnmatch
import re
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from ..engine.corpus.documents import MAX_BYTES, READERS, CorpusError, ending_of
from . import hub

NAME = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Texts:
    """Files of a dataset that are here."""

    folder: Path
    files: list[Path]
    licence: str


def is_dataset(name: str) -> bool:
    """Whether something that is no path here can be the name of a dataset: owner/name."""
    return NAME.fullmatch(name) is not None and not Path(name).expanduser().exists()


def fetch(dataset: str, pattern: str = "", progress=None) -> Texts:
    """The texts of a dataset, downloaded once: files that fit `pattern`, else those of its training split.

    Raises CorpusError where there are none or they are too many, HubError where they cannot be had.
    """
    found = hub.listing_meant(f"datasets/{dataset}", dataset)
    chosen = _chosen(dataset, found, pattern)
    size = sum(found.sizes[name] for name in chosen)
    if size > MAX_BYTES:
        raise CorpusError(
            f"{len(chosen):,} files of {dataset} have {size:,} bytes; at most {MAX_BYTES:,} are read at once. Choose "
            f"some of them: --files '{chosen[0]}'"
        )
    folder = settings.DATA_DIR / "hub"
    files = [hub.fetch(f"datasets/{dataset}", name, folder, progress) for name in chosen]
    said = f", licence as its authors say: {found.licence}" if found.licence else ""
    return Texts(folder / "datasets" / dataset, files, f"{dataset} from the Hugging Face hub{said}.")


def _chosen(dataset: str, found: hub.Listing, pattern: str) -> list[str]:
    texts = sorted(name for name in found.sizes if ending_of(Path(name)))
    if pattern:
        chosen = [name for name in texts if fnmatch.fnmatch(name, pattern)]
    else:
        chosen = [name for name in texts if "train" in name] or texts
    if chosen:
        return chosen
    known, has = ", ".join(READERS), ", ".join((texts or [*found.sizes])[:8]) or "nothing"
    wanted = f"fits {pattern!r}" if pattern and texts else f"ends in one of {known}"
    raise CorpusError(f"No file of {dataset} {wanted}; it has {has}. Choose with --files, or convert it to .jsonl.")
