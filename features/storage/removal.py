"""How does an SAE go? With its statistics and what refers to it; not while somebody works on it, or asks of it.

Labels and claims are about weights and stay, as do files.
"""

from django.db.models import QuerySet

from ..messages import BadRequest
from ..models import SAE, Comparison, KeptActivations, QueuedWork
from .holdings import questions, registry
from .kept_activations import path_of, remove_leftovers
from .write import remove_set


def why_not(sae: SAE, but: type[QueuedWork] | None = None) -> str:
    """Who works on it, in whatever part, or asks of it now, and the way out; empty where nobody does. `but`: work of
    this kind is seen to by whoever asks."""
    kept = KeptActivations.objects.filter(statistics__sae=sae).exclude(folder="")
    if any(questions.is_read(path_of(row)) for row in kept):
        return "A question is being asked of it. Wait until it is answered."
    return registry.at_work(*(rows for rows in work_on(sae) if rows.model is not but))


def goes_with(sae: SAE) -> str:
    """What is removed with it, and what else loses by it: a sentence's part."""
    compared = Comparison.objects.filter(sae=sae).count() + Comparison.objects.filter(other=sae).count()
    beside = SAE.objects.filter(encoder_b=sae).count()
    parts = ["its statistics", "gradings", "the records of work on it"]
    parts += [f"{compared:,} {'comparison' if compared == 1 else 'comparisons'} with other SAEs"] * bool(compared)
    told = f"{', '.join(parts[:-1])} and {parts[-1]}"
    told += f"; {beside:,} whose encoder B it is {'has' if beside == 1 else 'have'} none then" if beside else ""
    return f"{told}. Labels, claims and its files stay"


def remove_sae(sae: SAE) -> None:
    """The SAE with its sets of statistics, and all rows that refer to it. Raises BadRequest where somebody uses it."""
    if why := why_not(sae):
        raise BadRequest(f"{sae}: {why}")
    SAE.objects.filter(pk=sae.pk).update(statistics=None)
    for statistics in sae.all_statistics.values_list("pk", flat=True):
        remove_set(statistics)  # in batches: no other writer waits long
    sae.delete()
    remove_leftovers()  # its kept activations


def work_on(sae: SAE) -> list[QuerySet]:
    """Work of every kind that names it, whichever of its fields does."""
    fields = SAE._meta.get_fields(include_hidden=True)  # those without a name of their own are hidden
    relations = (each for each in fields if each.one_to_many and issubclass(each.related_model, QueuedWork))
    return [each.related_model.objects.filter(**{each.field.name: sae}) for each in relations]
