"""The demo's own training as runs: the checkpoints that its bundle holds, computed when nothing else is to be."""

from ..importing import demo
from ..models import Watch


def watch() -> Watch:
    """The bundle's folder, watched with all panels kept; as it was, where somebody has changed or ended it."""
    asked = {"model": str(demo.MODEL), "corpus": demo.CORPUS_SLUG}
    given = {"asked": asked, "patient": True, "every": 1, "panels_every": 1}
    return Watch.objects.get_or_create(path=str(demo.BUNDLE), defaults=given)[0]
