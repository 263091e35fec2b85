"""How does what was read of a watched folder go? SAEs with panels, records, figures; no file of the trainer's."""

from ..messages import BadRequest
from ..models import SAE, Checkpoint, Comparison, Corpus, Run, Watch
from ..storage import removal
from ..storage.holdings import registry, row_sizes
from . import records
from .intake import fixed_rows


def taken(watch: Watch) -> tuple[int, int]:
    """Bytes of records and of activations on the rows, and SAEs whose panels are there."""
    rows = {run.rows for run in watch.runs.select_related("rows")}
    read = sum(records.bytes_of(run) for run in watch.runs.all()) + sum(map(fixed_rows.kept_of, rows))
    return read, _saes(watch).exclude(statistics=None).count()


def remove(watch: Watch) -> None:
    """All of it, and the watch. SAEs that were imported by themselves stay. Raises BadRequest while one is at work."""
    if why := why_not(watch):
        raise BadRequest(why)
    Watch.objects.filter(pk=watch.pk).update(ended=True)
    watch.checkpoints.filter(state=Checkpoint.State.QUEUED).delete()  # nobody reads what goes
    for sae in _saes(watch):
        removal.remove_sae(sae)
    rows = set(watch.runs.values_list("rows", flat=True))
    watch.delete()
    for corpus in Corpus.objects.filter(pk__in=rows, saes=None).exclude(pk__in=Run.objects.values("rows")):
        if corpus.slug.startswith("run-rows-"):
            fixed_rows.free(corpus)
            corpus.delete()


def why_not(watch: Watch) -> str:
    """Who works on it now; empty where nobody does."""
    if watch.checkpoints.filter(state=Checkpoint.State.RUNNING).exists():
        return f"Checkpoints of {watch.path} are at work. Cancel that first, or wait until it is done."
    found = ((sae, removal.why_not(sae, but=Checkpoint)) for sae in _saes(watch))
    return next((f"{sae}: {why}" for sae, why in found if why), "")


def _saes(watch: Watch):
    """SAEs that are there for its checkpoints alone."""
    return SAE.objects.filter(checkpoints__watch=watch, corpus__in=watch.runs.values("rows")).distinct()


# As something that is kept


def _watches():
    for watch in Watch.objects.prefetch_related("runs"):
        runs = list(watch.runs.all())
        yield registry.HeldItem(
            str(watch.pk),
            f"figures and records of the checkpoints in {watch.path}",
            lambda watch=watch: registry.Measured(taken(watch)[0]),
            of=", ".join(run.name for run in runs[:3]) or "no run yet",
            url=runs[0].get_absolute_url() if runs else "",
            made=watch.created,
            used=watch.looked,
        )


def _comparisons():
    for row in Comparison.objects.filter(state=Comparison.State.DONE).defer("pairs").select_related("sae", "other"):
        yield registry.HeldItem(
            str(row.pk),
            f"{row.sae.name} beside {row.other.name}",
            lambda row=row: registry.Measured(row_sizes.total(Comparison.objects.filter(pk=row.pk), "pairs")),
            of=row.sae.name,
            url=row.sae.get_absolute_url(),
            made=row.finished,
        )


registry.register(
    registry.Holding(
        "runs",
        "Runs",
        "The runs' pages, and panels of their checkpoints. Labels and claims stay; so do the trainer's files.",
        "Watch the folder again: each checkpoint whose files are there is read once more.",
        _watches,
        lambda key: remove(Watch.objects.get(pk=key)),
        lambda key: why_not(Watch.objects.get(pk=key)),
        "features.delete_watch",
    )
)
registry.register(
    registry.Holding(
        "comparisons",
        "Comparisons",
        "How the features of two SAEs were matched.",
        "Ask for it again on the page of the two.",
        _comparisons,
        lambda key: Comparison.objects.filter(pk=key, state=Comparison.State.DONE).delete(),
        permission="features.delete_comparison",
    )
)
