"""Examples and answers of labels by a language model, as something that is kept: what they take, and how they go."""

from ..models import AutoInterp
from ..storage.holdings import registry, row_sizes

FIELDS = ("examples", "answers", "control_answers", "figures")


def _items():
    for row in AutoInterp.objects.filter(items__isnull=False).distinct().select_related("sae"):
        yield registry.HeldItem(
            str(row.pk),
            f"{row.items.count():,} features by {row.model}",
            lambda row=row: registry.Measured(row_sizes.total(row.items.all(), *FIELDS)),
            of=row.sae.name,
            url=row.sae.get_absolute_url(),
            made=row.finished,
            loses="" if row.state == row.State.DONE else "It does not go on from its answers, which were paid for.",
        )


def _why_not(key):
    return registry.at_work(AutoInterp.objects.filter(pk=key))


def _remove(key):
    AutoInterp.objects.filter(pk=key).exclude(state__in=AutoInterp.UNFINISHED).delete()


registry.register(
    registry.Holding(
        "autointerp",
        "Labels by language models",
        "The examples and answers behind them, and the job's page. The labels stay, with their scores.",
        "Have the features labelled again, which costs as much again.",
        _items,
        _remove,
        _why_not,
        permission="features.delete_autointerp",
    )
)
