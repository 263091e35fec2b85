"""What does the site keep, how large is it, and how is each removed? Rooms register what is theirs."""

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db.models import Count, ProtectedError, Sum
from django.db.models.functions import Length

from ..messages import BadRequest
from ..models import Corpus, FeaturePayload, KeptActivations, Statistics
from . import kept_activations


@dataclass(frozen=True)
class Item:
    """One thing that is kept: the key that removes it, what it is, its bytes."""

    key: str
    what: str
    bytes: int


@dataclass(frozen=True)
class Holding:
    """A kind of things. `remove` takes a key; it raises BadRequest where the thing is in use, saying by what."""

    name: str
    loses: str  # what who removes one goes without
    items: Callable[[], Iterable[Item]]
    remove: Callable[[str], None]


REGISTERED: dict[str, Holding] = {}


def register(holding: Holding) -> None:
    REGISTERED[holding.name] = holding


def remove(name: str, key: str) -> Item:
    """Remove one thing. Raises BadRequest where there is none, or where it is in use."""
    if name not in REGISTERED:
        raise BadRequest(f"Nothing of the kind {name!r} is kept. Known: {', '.join(REGISTERED)}.")
    item = next((item for item in REGISTERED[name].items() if item.key == key), None)
    if item is None:
        raise BadRequest(f"No {name} is called {key!r}. `manage.py kept` lists them.")
    REGISTERED[name].remove(key)
    return item


def bytes_of(path: Path) -> int:
    """Of a file, or of all in a folder; links are not followed."""
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file() and not file.is_symlink())


def folders_below(home: Path, what: str) -> Iterable[Item]:
    """An item for each file or folder that lies directly in a folder."""
    for path in sorted(home.glob("*")):
        yield Item(path.name, f"{what} {path}", bytes_of(path))


def remove_below(home: Path, key: str) -> None:
    path = home / key
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


# This room's own


def _statistics():
    sizes = dict(
        FeaturePayload.objects.values("feature__statistics")
        .annotate(size=Sum(Length("payload") + Length("quantiles")), n=Count("pk"))
        .values_list("feature__statistics", "size")
    )
    for row in Statistics.objects.select_related("sae", "corpus"):
        shown = ", shown" if row.sae.statistics_id == row.pk else ""
        yield Item(str(row.pk), f"{row}{shown}", sizes.get(row.pk) or 0)


def _remove_statistics(key):
    row = Statistics.objects.select_related("sae").get(pk=key)
    if row.sae.jobs.unfinished().exists():
        raise BadRequest(f"{row.sae} is being computed. Cancel that first, or wait.")
    Statistics.objects.filter(pk=key).delete()


def _activations():
    for row in KeptActivations.objects.exclude(manifest="").select_related("statistics__sae", "statistics__corpus"):
        yield Item(str(row.pk), str(row), row.bytes)


def _remove_activations(key):
    kept_activations.free(KeptActivations.objects.get(pk=key))


def _corpora():
    for row in Corpus.objects.all():
        path = Path(row.path)
        yield Item(row.slug, f"{row}, {row.tokens:,} tokens, {path}", bytes_of(path) if path.is_file() else 0)


def _remove_corpus(key):
    """The row, and its files where they are the site's own."""
    row = Corpus.objects.get(slug=key)
    path = Path(row.path)
    try:
        row.delete()
    except ProtectedError as error:
        users = sorted({str(one) for one in error.protected_objects})
        raise BadRequest(f"{row} is used by {', '.join(users[:5])}. Remove them first.") from error
    if path.parent == settings.DATA_DIR / "corpora":
        for file in path.parent.iterdir():
            if file.name.startswith(f"{path.stem}."):
                file.unlink()


register(
    Holding("statistics", "what pages show of an SAE, until it is computed again", _statistics, _remove_statistics)
)
register(Holding("activations", "Ask, until statistics are computed again", _activations, _remove_activations))
register(Holding("corpus", "a text that statistics can be computed on", _corpora, _remove_corpus))
