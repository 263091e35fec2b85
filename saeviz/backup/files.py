"""Which files belong to the rows, where they lie in a backup, and where they are put when it comes back."""

import re
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from features.models import SAE, Corpus, KeptActivations
from features.storage import findings_file, kept_activations

KINDS = ("corpora", "findings", "activations", "checkpoints")


def of_rows(with_activations: bool, with_checkpoints: bool) -> Iterator[tuple[str, Path]]:
    """(name in the backup, path) of each file that is there."""
    for corpus in Corpus.objects.order_by("pk"):
        path = Path(corpus.path)
        beside = sorted(path.parent.glob(f"{_literal(path.stem)}.*")) if path.is_absolute() else []
        for file in filter(Path.is_file, beside):  # the rows, and the table of documents
            is_ours = file.parent == settings.DATA_DIR / "corpora"  # where no two have a name
            yield f"corpora/{file.name}" if is_ours else f"corpora/{corpus.slug}/{file.name}", file
    for sae in SAE.objects.order_by("pk"):
        if (file := findings_file.file_of(sae.path)).is_file():
            yield f"findings/{sae.slug}/{findings_file.FILE}", file
    if with_activations:
        for row in KeptActivations.objects.exclude(manifest=""):
            folder = kept_activations.path_of(row)
            yield from ((f"activations/{row.folder}/{file.name}", file) for file in sorted(folder.glob("*")))
    if with_checkpoints:
        own = settings.DATA_DIR / "checkpoints"
        found = (file for file in sorted(own.rglob("*")) if file.is_file() and not file.is_symlink())
        yield from ((f"checkpoints/{file.relative_to(own).as_posix()}", file) for file in found)


def _literal(name: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", name)


def place(name: str) -> Path:
    """Where a file of a backup belongs. Raises ValueError for a name that no backup gives."""
    kind, *parts = name.split("/")
    if kind not in KINDS or not parts or any(part in ("", ".", "..") or set(part) & set("\\\0") for part in parts):
        raise ValueError(f"The backup holds a file called {name!r}, which is none of a backup.")
    home = Path(settings.SAEVIZ_KEPT) if kind == "activations" else settings.DATA_DIR / kind
    return home.joinpath(*parts)


def point_rows_at(names: set[str]) -> list[str]:
    """Rows name the files where they are now; sentences of what is not as it was."""
    said = []
    for corpus in Corpus.objects.all():
        file = Path(corpus.path).name
        name = next((n for n in (f"corpora/{corpus.slug}/{file}", f"corpora/{file}") if n in names), None)
        if name:
            Corpus.objects.filter(pk=corpus.pk).update(path=str(place(name)))
        elif not Path(corpus.path).exists():
            said.append(f"The token rows of {corpus.slug} were not in the backup; put them at {corpus.path}.")
    folders = {name.split("/")[1] for name in names if name.startswith("activations/")}
    not_here = KeptActivations.objects.exclude(folder="").exclude(folder__in=folders)
    not_here.update(folder="", manifest="", why_not="They were not in the backup. Recompute.")
    for sae in SAE.objects.all():
        name, belongs = f"findings/{sae.slug}/{findings_file.FILE}", findings_file.file_of(sae.path)
        if name in names and not belongs.exists():
            said.append(f"What was found of {sae.slug} is in {place(name)}; it belongs to {belongs}.")
    return said
