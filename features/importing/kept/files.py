"""Downloads, uploads and converted models: folders of this room below DATA_DIR and the first of SAEVIZ_FOLDERS."""

from functools import partial
from pathlib import Path

from django.conf import settings

from ...models import Import
from ...storage.holdings import on_disk, registry
from .. import uploads


def _hub() -> Path:
    return settings.DATA_DIR / "hub"


def _models() -> Path:
    return settings.DATA_DIR / "models"


def _uploads() -> Path:
    return uploads.root() / "uploads"


def _downloads():
    """By repository: owner/name, datasets/owner/name."""
    for pattern in ("*/*", "datasets/*/*"):
        for item in on_disk.folders(_hub(), "downloaded to", pattern):
            if pattern != "*/*" or not item.key.startswith("datasets/"):
                yield item


def _why_not(home, key):
    """An import may be at it, or a computation."""
    return registry.at_work(Import.objects) or on_disk.why_not_below(home(), key)


def _register(name, title, loses, again, home, what, items=None):
    on_disk.register_below(name, title, loses, again, home, what, items=items, why_not=partial(_why_not, home))


def _sent():
    return on_disk.folders(_uploads(), "sent to") if any(settings.SAEVIZ_FOLDERS) else ()


_register(
    "hub",
    "Downloads",
    "The files as the hub had them.",
    "Downloaded again when an import needs it: as many bytes.",
    _hub,
    "downloaded to",
    _downloads,
)
_register(
    "uploads",
    "Uploads",
    "Weights that somebody sent, with findings beside them.",
    "Send the files again.",
    _uploads,
    "sent to",
    _sent,
)
_register(
    "models",
    "Language models",
    "A model that was downloaded and converted.",
    "Import it from the hub again.",
    _models,
    "converted in",
)
