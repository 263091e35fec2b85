"""How does what was read of a watched folder go? SAEs with panels, records, figures; no file of the trainer's."""

from ..messages import BadRequest
from ..models import SAE, Checkpoint, Corpus, Job, Run, Watch
from . import panels, records


def taken(watch: Watch) -> tuple[int, int]:
    """Bytes of records, and SAEs whose panels are there."""
    read = sum(records.bytes_of(run) for run in watch.runs.all())
    return read, _saes(watch).exclude(statistics=None).count()


def remove(watch: Watch) -> None:
    """All of it, and the watch. SAEs that were imported by themselves stay. Raises BadRequest while one is at work."""
    computed = Job.objects.unfinished().filter(sae__in=_saes(watch))
    if watch.checkpoints.filter(state=Checkpoint.State.RUNNING).exists() or computed.exists():
        raise BadRequest(f"Checkpoints of {watch.path} are at work. Cancel that first, or wait until it is done.")
    Watch.objects.filter(pk=watch.pk).update(ended=True)
    for sae in _saes(watch):
        panels.free(sae)  # a batch of features at a time: no other writer waits long
        sae.delete()
    rows = set(watch.runs.values_list("rows", flat=True))
    watch.delete()
    for corpus in Corpus.objects.filter(pk__in=rows, saes=None).exclude(pk__in=Run.objects.values("rows")):
        if corpus.slug.startswith("run-rows-"):
            corpus.delete()


def _saes(watch: Watch):
    """SAEs that are there for its checkpoints alone."""
    return SAE.objects.filter(checkpoints__watch=watch, corpus__in=watch.runs.values("rows")).distinct()
