"""Which features go with a pattern? A page and its JSON: rows and kept activations, nothing that loads a model."""

import json

from django.http import JsonResponse, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from .. import strangers
from ..browse.claims import may_claim
from ..browse.sae_overview import quick_note
from ..browse.views import json_errors, sae_or_404
from ..engine.ask.pattern import PatternError
from ..engine.ask.scores import METRICS
from ..patterns.held import look_for
from ..storage.kept_activations import NothingKept, kept_of
from ..storage.kept_activations import asked as open_question
from ..turns import Busy
from . import admission, question
from .answer import answer
from .question import Asked

NAMES = {"f1": "F1", "precision": "Precision", "recall": "Recall", "lift": "Lift", "correlation": "Correlation"}
EXAMPLES = ("however", 'token(" I") and after(",")', r"/(19|20)\d\d/", "inside(quotes)", "token(/ing$/)")


@require_safe
def ask(request, slug):
    sae = sae_or_404(slug)
    told = _told(sae, request)
    context = {"sae": sae, "here": "ask", "metrics": [(name, NAMES[name]) for name in METRICS], "examples": EXAMPLES}
    context |= {"quick": quick_note(sae), "may_claim": may_claim(request.user)}
    context["takes_long"] = bool(sae.statistics) and sae.statistics.tokens > question.LONG
    if told["answer"]:
        context["share"] = told["answer"]["held"] / told["answer"]["population"]["tokens"]
        context["labelled"] = any(feature["label"] for feature in told["answer"]["features"])
    answer = render(request, "features/ask.html", context | told, status=told["status"])
    return admission.come_again(answer, told["failure"])


@require_safe
@json_errors
def ask_json(request, slug):
    told = _told(sae_or_404(slug), request)
    if told["answer"] is not None:
        return JsonResponse(told["answer"])
    error = {"error": told["problem"] or "Give a pattern as ?q=. docs/asking.md says what patterns are."}
    error |= {"at": told["at"]} if "at" in told else {}
    if told["failure"]:
        return admission.refusal(told["failure"])
    return JsonResponse(error, status=told["status"] if told["status"] != 200 else 400)


@require_safe
@never_cache
@json_errors
def ask_progress(request, slug):
    """Lines of JSON while a pattern is looked for: {"place"} in line, {"done", "total"} in tokens, then {"error"} or
    {"ready": true}: the page and ask.json then answer at once. Who hangs up has stopped it."""
    sae = sae_or_404(slug)
    try:
        strangers.refuse_patterns(request)
    except strangers.Refused as failure:
        return admission.refusal(failure)
    lines = (json.dumps(line) + "\n" for line in _in_line(sae, request))
    return StreamingHttpResponse(lines, content_type="application/x-ndjson")


def _in_line(sae, request):
    try:
        visit = admission.line.enter()
    except Busy as busy:
        yield busy.to_dict()
        return
    try:
        while not visit.wait(admission.TOLD_EVERY):
            yield {"place": visit.place}
        yield from _looked_for(sae, request)
    finally:
        visit.leave()


def _looked_for(sae, request):
    try:
        asked, kept = Asked.from_query(request.GET), kept_of(sae)
        with open_question(sae.statistics):
            for done in look_for(sae.statistics, kept.tokens, asked.pattern):
                yield {"done": done, "total": kept.tokens}
        yield {"ready": True}
    except (ValueError, OSError) as error:  # as the page itself will say it, and where
        yield {"error": str(error)}


def _told(sae, request) -> dict:
    """The question as it was read, its answer or None, and what is wrong where there is none."""
    told = {"asked": Asked(), "answer": None, "problem": "", "pointed": "", "status": 200, "failure": None}
    try:
        told["asked"] = asked = Asked.from_query(request.GET)
        told["answer"] = _answer(request, sae, asked) if asked.pattern else kept_of(sae) and None
    except admission.NO_ANSWER as failure:
        told |= {"problem": str(failure), "failure": failure, "status": admission.status_of(failure)}
    except PatternError as error:
        told |= {"problem": str(error), "pointed": error.pointed(), "at": error.at, "status": 400}
    except NothingKept as error:
        told |= {"problem": str(error), "status": 404 if request.GET.get("q") else 200}
    except (ValueError, OSError) as error:
        told |= {"problem": str(error), "asked": Asked(pattern=request.GET.get("q", "")), "status": 400}
    return told


def _answer(request, sae, asked):
    with admission.turn(request), open_question(sae.statistics):
        return answer(sae, asked)
