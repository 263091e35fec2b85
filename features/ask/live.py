"""What only the model can say of an answer: how near a feature was to firing on its misses. JSON, behind its turn."""

from django.http import JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from .. import runtime, strangers
from ..browse import feature_json
from ..browse.views import json_errors, sae_or_404
from ..patterns.held import held_by
from ..storage.kept_activations import NothingKept, kept_of
from ..storage.readers import rows_of
from . import admission
from .answer import drawn, misses
from .question import Asked

MOST_OTHERS = 20  # features whose decoder cosine is told


@require_safe
@never_cache
@json_errors
def near_json(request, slug):
    """{"misses", "cosines"}; {"error", "cold"}, status 409, where the model is not loaded and `load` is not asked."""
    sae = sae_or_404(slug)
    try:
        if "load" not in request.GET and runtime.state(sae)["state"] != "ready":
            why = "How near it was to firing, the model says, which is not loaded in this process."
            return JsonResponse({"error": why, "cold": True}, status=409)
        strangers.refuse(request)
        return JsonResponse(near(request, sae, Asked.from_query(request.GET), _others(request, sae)))
    except NothingKept as problem:
        return JsonResponse({"error": str(problem)}, status=404)
    except admission.NO_ANSWER as failure:
        return admission.refusal(failure)
    except (ValueError, OSError) as problem:
        return JsonResponse({"error": str(problem)}, status=400)


def _others(request, sae) -> list[int]:
    given = [int(i) for i in request.GET.get("others", "").split(",") if i.isdecimal() and len(i) < 10]
    return sorted({index for index in given if index < sae.d_sae})[:MOST_OTHERS]


def near(request, sae, asked: Asked, others: list[int]) -> dict:
    """Of the misses that the page shows, the pre-activation and what it has to exceed; of other features the cosine of
    their decoder rows with this one's."""
    if asked.feature is None or asked.feature >= sae.d_sae:
        raise ValueError(f"Give a feature from 0 to {sae.d_sae - 1:,} as ?feature=.")
    kept = kept_of(sae)
    with admission.turn(request):
        held, entries = held_by(sae.statistics, kept, asked.pattern), kept.feature(asked.feature)
    least = asked.threshold.least_of(entries.values, held.counted)
    tokens, corpus = drawn(misses(held, entries, least)), sae.statistics.corpus
    rows, positions = divmod(tokens, corpus.row_length - corpus.first)
    positions = positions + corpus.first
    with runtime.loaded(sae) as subject:
        from ..engine.ask.near_misses import decoder_cosines, near_misses

        ids = rows_of(corpus)[rows].astype("i8")  # [n, length]
        values, bars = near_misses(subject, ids, positions, asked.feature) if len(rows) else ((), ())
        cosines = decoder_cosines(subject.sae, asked.feature, others)
    records = feature_json.records(row=rows, position=positions, pre_activation=values, bar=bars)
    for record in records:  # what is asked for may be more than what makes it active
        if least:
            record["bar"] = max(record["bar"], float(least))
    return {"misses": records, "cosines": dict(zip(others, feature_json.numbers(cosines), strict=True))}
