"""All kinds of things that are kept: those of every room, and the roof's own, backups and caches."""

from pathlib import Path

from django.conf import settings

from features.analysis import kept as _analyses  # noqa: F401  (rooms register theirs as they are imported)
from features.autointerp import kept as _autointerp  # noqa: F401
from features.importing.kept import corpora as _corpora  # noqa: F401
from features.importing.kept import files as _files  # noqa: F401
from features.jobs import leftovers as _jobs  # noqa: F401
from features.overview import maps as _maps  # noqa: F401
from features.runs import removal as _runs  # noqa: F401
from features.storage.holdings import on_disk, registry
from features.storage.holdings import rows as _rows  # noqa: F401


def backups() -> Path:
    """Where `manage.py backup` writes to unless it is told."""
    return settings.DATA_DIR / "backups"


def _caches() -> Path:
    return settings.DATA_DIR / "cache"


on_disk.register_below(
    "backups",
    "Backups",
    "What was found, computed and judged at that moment, should the site lose it.",
    "Nothing makes a backup of that moment again; manage.py backup makes one of now.",
    backups,
    "written to",
    "*.zip",
)
on_disk.register_below(
    "caches",
    "Caches",
    "Compiled loops and what libraries keep.",
    "Made again by whoever needs it: compiling takes a minute or two.",
    _caches,
    "kept in",
)


def registered() -> dict[str, registry.Holding]:
    """By name, in the order in which pages list them."""
    return {name: registry.REGISTERED[name] for name in sorted(registry.REGISTERED, key=_place)}


ORDER = ("statistics", "activations", "analyses", "maps", "autointerp", "comparisons", "runs", "corpus", "findings",
         "hub", "models", "uploads", "shards", "backups", "caches")  # fmt: skip


def _place(name: str) -> int:
    return ORDER.index(name) if name in ORDER else len(ORDER)
