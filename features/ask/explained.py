"""Which of a feature's examples does a pattern explain? Where it holds in their rows, with the feature's figures."""

import numpy as np
from django.http import JsonResponse
from django.views.decorators.http import require_safe

from ..browse.views import json_errors, sae_or_404
from ..engine.ask.one_feature import OneFeature
from ..engine.ask.pattern import PatternError
from ..models import SAE, Feature
from ..patterns.held import held_by, held_within
from ..storage.example_tokens import tokens_of_one
from ..storage.kept_activations import NothingKept, kept_of
from . import admission
from .question import Asked


@require_safe
@json_errors
def explained_json(request, slug, index):
    """{"holds": {row: positions}, "scores"}; figures need kept activations, and without them "why_no_scores" says why.
    {"error", "at"} for what cannot be asked."""
    sae = sae_or_404(slug)
    try:
        with admission.turn(request):
            return JsonResponse(explained(sae, index, Asked.from_query(request.GET)))
    except admission.NO_ANSWER as failure:
        return admission.refusal(failure)
    except PatternError as error:
        return JsonResponse({"error": str(error), "at": error.at}, status=400)
    except Feature.DoesNotExist:
        return JsonResponse({"error": f"Feature {index} of {sae} has no statistics."}, status=404)
    except (ValueError, OSError) as error:
        return JsonResponse({"error": str(error)}, status=400)


def explained(sae: SAE, index: int, asked: Asked) -> dict:
    """Raises PatternError, Feature.DoesNotExist, or ValueError and OSError where text or examples are gone."""
    row = Feature.objects.shown_of(sae).with_payloads().get(index=index)
    corpus = sae.statistics.corpus
    width = corpus.row_length - corpus.first
    rows = np.unique(tokens_of_one(row, corpus) // width)
    scores, why = None, ""
    try:
        kept = kept_of(sae)
        where = held_by(sae.statistics, kept, asked.pattern)
        scores = OneFeature.of(kept, index, where.tokens, where.counted, asked.threshold).to_dict()
    except NothingKept as nothing:
        # The examples are there all the same: whole rows, up to the last of theirs.
        why = str(nothing)
        where = held_within(sae.statistics, (int(rows.max()) + 1) * width if len(rows) else width, asked.pattern)
    holds = {
        # A token's position in its row, a BOS in front counted.
        int(number): (np.flatnonzero(where.tokens[number * width : (number + 1) * width]) + corpus.first).tolist()
        for number in rows
    }
    asked_for = {"pattern": asked.pattern, "from": str(asked.threshold)}
    return asked_for | {"holds": holds, "scores": scores, "why_no_scores": why}
