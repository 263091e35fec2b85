"""What was worked out after statistics were shown, as something that is kept: what it takes, and how it goes."""

from django.db import transaction
from django.db.models import F

from ..models import Analysis, Feature, FeatureAnalysis, FeatureDescription, Statistics
from ..storage.feature_rows import WORKED_OUT, WORKED_OUT_FLAGS
from ..storage.holdings import registry, row_sizes
from ..templatetags.formatting import duration
from .rows import BATCH


def _items():
    for row in Statistics.objects.exclude(analysed={}).select_related("sae", "corpus"):
        yield registry.HeldItem(
            str(row.pk),
            ", ".join(row.analysed),
            lambda row=row: registry.Measured(row_sizes.of_analyses(row)),
            of=str(row),
            url=row.sae.get_absolute_url(),
            made=_last(row).values_list("finished", flat=True).first(),
            again=lambda row=row: _again(row),
        )


def _last(row):
    return Analysis.objects.filter(statistics=row, state=Analysis.State.DONE).newest_first()


def _again(row) -> str:
    last = _last(row).exclude(started=None).exclude(finished=None).first()
    took = f" The last took {duration((last.finished - last.started).total_seconds())}." if last else ""
    return f"A worker works them out again after its next start, from kept activations.{took}"


def _why_not(key):
    return registry.at_work(Analysis.objects.filter(statistics=key))


def _remove(key):
    """A batch of features at a time: no other writer waits long."""
    Statistics.objects.filter(pk=key).update(analysed={}, analysis={})
    features = Feature.objects.filter(statistics=key)
    last = features.count()
    for first in range(0, last, BATCH):
        with transaction.atomic():
            some = features.filter(index__range=(first, first + BATCH - 1))
            FeatureAnalysis.objects.filter(feature__in=some).delete()
            FeatureDescription.objects.filter(feature__in=some).delete()
            some.update(**dict.fromkeys(WORKED_OUT))
            some.exclude(flags=None).update(flags=F("flags").bitand(~WORKED_OUT_FLAGS & 0x7FFF))


registry.register(
    registry.Holding(
        "analyses",
        "Analyses",
        "Importance, token statistics, descriptions, and how near dead features come, on all pages of its features.",
        "A worker works them out again after its next start, from kept activations.",
        _items,
        _remove,
        _why_not,
    )
)
