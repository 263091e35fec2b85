"""Files and folders that are kept: what each takes, when it was last read, and how it goes."""

import os
import shutil
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from ...messages import BadRequest
from ...models import SAE, Job
from .registry import HeldItem, Holding, Measured, at_work, register


def measured(path: Path) -> Measured:
    """Of a file, or of all in a folder; links are not followed. What goes meanwhile counts as gone."""
    bytes, read = 0, 0.0
    for file in _files(path):
        try:
            stat = file.stat(follow_symlinks=False)
        except OSError:
            continue
        bytes, read = bytes + stat.st_size, max(read, stat.st_atime)
    return Measured(bytes, moment(read) if read else None)


def _files(path: Path) -> Iterable[Path]:
    if path.is_symlink() or path.is_file():
        yield path
        return
    for folder, _, names in os.walk(path):
        yield from (Path(folder) / name for name in names)


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def folders(home: Path, what: str, pattern: str = "*") -> Iterable[HeldItem]:
    """An item for each file or folder below `home` that fits, by its path from there; with the SAEs that it holds."""
    for path in sorted(home.glob(pattern)):
        saes = list(saes_below(path)[:4])
        names = ", ".join(sae.name for sae in saes[:3]) + (" and others" if len(saes) > 3 else "")
        yield HeldItem(
            path.relative_to(home).as_posix(),
            f"{what} {path}",
            lambda path=path: measured(path),
            of=names,
            url=saes[0].get_absolute_url() if saes else "",
            made=moment(path.stat(follow_symlinks=False).st_mtime),
            loses=f"{names} cannot be read any more: prompts and computations of it end; its pages stay."
            if saes
            else "",
        )


def saes_below(path: Path):
    """SAEs whose weights, or whose language model, lie in a folder."""
    inside = f"{path}/"
    own = SAE.objects.filter(path__startswith=inside) | SAE.objects.filter(model_path__startswith=inside)
    return own | SAE.objects.filter(path=str(path)) | SAE.objects.filter(model_path=str(path))


def why_not_below(home: Path, key: str) -> str:
    """A computation reads files below it."""
    return at_work(Job.objects.filter(sae__in=saes_below(home / key)))


def remove(home: Path, key: str) -> None:
    """Take away what lies there under a key of `folders`. Raises BadRequest where the disk refuses."""
    path = home / key
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError as error:
        raise BadRequest(f"{path} could not be removed whole: {error.strerror or error}.") from error


def register_below(
    name: str,
    title: str,
    loses: str,
    again: str,
    home: Callable[[], Path],
    what: str,
    pattern: str = "*",
    items: Callable[[], Iterable[HeldItem]] | None = None,
    why_not: Callable[[str], str] = lambda key: "",
) -> None:
    """A kind of things of which each is a file or folder below `home`, or one of `items`; who may take away SAEs may
    take them away."""

    def all_of_it():
        return folders(home(), what, pattern)

    def take_away(key: str):
        remove(home(), key)

    register(
        Holding(name, title, loses, again, items or all_of_it, take_away, why_not, permission="features.delete_sae")
    )
