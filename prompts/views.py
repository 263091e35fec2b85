"""The prompt page, its JSON twin, a feature tried on a text, and whether the model is ready."""

from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_GET, require_http_methods

from features import runtime, strangers
from features.browse.sae_overview import quick_note
from features.models import SAE
from features.turns import Busy

from . import answer, forms
from .dashboards import stored_of
from .sample_prompts import sample_prompts_for

PATIENCE = 2  # seconds a page waits for its model, and for its turn; what takes longer is shown, and the answer fetched
LONGEST_TICKET = 64  # characters
LONGEST_ADDRESS = 3500  # characters; servers and proxies may refuse more than 4,094 in a request line
SHARED_MODULES = ("card", "colours", "histogram", "keys", "links", "logits", "parts", "progress", "sequences", "text")
PROMPT_MODULES = (
    "asking",
    "dashboard",
    "heatmap",
    "question",
    "side_by_side",
    "stored",
    "token_card",
    "tokens",
    "without",
)
NO_ANSWER = (runtime.Unavailable, Busy)
# What the page's script imports, so that the browser fetches all at once instead of one after the other.
MODULES = [f"prompts/{name}.js" for name in PROMPT_MODULES] + [f"shared/{name}.js" for name in SHARED_MODULES]


@csrf_exempt  # only until the announced size is checked: the CSRF check reads the body
@require_http_methods(["GET", "HEAD", "POST"])
def prompt(request: HttpRequest, slug: str) -> HttpResponse:
    """The page, or with format=json its twin; what is refused keeps the text, what fails says so (503)."""
    try:
        forms.refuse_unread(request)
        return _prompt(request, slug)
    except forms.Refused as refusal:
        return _problem(request, slug, str(refusal), refusal.status)
    except NO_ANSWER as failure:
        return _to_be_asked_again(_problem(request, slug, str(failure), 503, failure), failure)


@csrf_protect
def _prompt(request: HttpRequest, slug: str) -> HttpResponse:
    sae = _sae(slug)
    if _wants_json(request):
        strangers.refuse(request)
        return JsonResponse(answer.answer(sae, forms.question_of(request, sae), ticket=_ticket(request)))
    if "text" not in (request.POST if request.method == "POST" else request.GET):
        runtime.warm(sae)  # whoever opens the page will ask soon
        return _page(request, sae)
    strangers.refuse(request)
    question = forms.question_of(request, sae)
    address = f"{request.path}?{_query(question)}"
    if request.method == "POST" and len(address) <= LONGEST_ADDRESS:
        return redirect(address)
    try:
        data = answer.answer(sae, question, PATIENCE)
    except runtime.NotYet:
        data = answer.asked_of(sae, question)
    return _page(request, sae, data)


@require_GET
def try_text(request: HttpRequest, slug: str, index: int) -> JsonResponse:
    """Where one feature fires on a typed text, as JSON."""
    return _one_feature(request, slug, index, answer.tried)


@require_GET
def without(request: HttpRequest, slug: str, index: int) -> JsonResponse:
    """What the model would predict after a token if one feature were silent there, as JSON."""
    return _one_feature(request, slug, index, answer.without)


def _one_feature(request: HttpRequest, slug: str, index: int, told) -> JsonResponse:
    try:
        sae = _sae(slug)
        strangers.refuse(request)
        return JsonResponse(told(sae, index, forms.question_of(request, sae), _ticket(request)))
    except forms.Refused as refusal:
        return JsonResponse({"error": str(refusal)}, status=refusal.status)
    except NO_ANSWER as failure:
        return _to_be_asked_again(JsonResponse(_failed(failure), status=503), failure)


@require_GET
def stored_json(request: HttpRequest, slug: str) -> JsonResponse:
    """What is stored of the features `of`, as dashboards show it: the same for every prompt, without a model."""
    sae = get_object_or_404(SAE.objects.select_related("statistics", "statistics__corpus"), slug=slug)
    asked = [int(index) for index in request.GET.get("of", "").split(",") if index.isdecimal() and len(index) < 10]
    return JsonResponse({"features": stored_of(sae, asked[: forms.MOST_SHOWN + forms.MOST_ADDED])})


@require_GET
@never_cache
def model_json(request: HttpRequest, slug: str) -> JsonResponse:
    """Whether this process has the SAE loaded, how many wait for it, and the place of who asked with ?ticket."""
    return JsonResponse(runtime.state(get_object_or_404(SAE, slug=slug), _ticket(request)))


def _ticket(request) -> str:
    """What a question may bring along to hear its place in line by."""
    return request.GET.get("ticket", "")[:LONGEST_TICKET]


def _sae(slug: str) -> SAE:
    try:
        return SAE.objects.for_pages().get(slug=slug)
    except SAE.DoesNotExist:
        known = ", ".join(SAE.objects.values_list("slug", flat=True)[:20]) or "none yet"
        raise forms.Refused(f"No SAE is called {slug!r} here. Known: {known}.", 404) from None


def _page(request, sae: SAE, data: dict | None = None, problem="", status=200, text="") -> HttpResponse:
    """The page of a question, answered (`data` with a ranking), still waiting for its model, or refused."""
    model = runtime.state(sae)
    context = {
        "here": "prompt",
        "sae": sae,
        "data": data,
        "answered": data is not None and "ranking" in data,
        "problem": problem,
        "quick": quick_note(sae),
        "text": data["text"] if data else text,
        "bos": data["bos"] if data else True,
        "read": data["read"] if data else "text",
        "readings": forms.READINGS,
        "most_tokens": forms.most_tokens(sae),
        "examples": sample_prompts_for(sae),
        "modules": MODULES,
        "setup": {"longest_address": LONGEST_ADDRESS, "warming": model["state"] == "loading"},
    }
    return render(request, "prompts/prompt.html", context, status=status)


def _problem(request, slug: str, sentence: str, status: int, failure=None) -> HttpResponse:
    """The refusal or failure as the asker reads it: JSON, or the page with the sentence and the text kept."""
    if _wants_json(request):
        return JsonResponse(_failed(failure) if failure else {"error": sentence}, status=status)
    sae = SAE.objects.for_pages().filter(slug=slug).first()
    if sae is None:
        raise Http404(sentence)
    text = "" if status == 413 else (request.POST or request.GET).get("text", "")
    return _page(request, sae, problem=sentence, status=status, text=text)


def _failed(failure) -> dict:
    return failure.to_dict() if isinstance(failure, Busy) else {"error": str(failure)}


def _to_be_asked_again(response: HttpResponse, failure: Exception) -> HttpResponse:
    """Where others are before it, the answer says when to come again."""
    if isinstance(failure, Busy):
        response.headers["Retry-After"] = str(failure.retry_after)
    return response


def _wants_json(request) -> bool:
    return request.GET.get("format") == "json"


def _query(question: forms.PromptQuestion) -> str:
    """The address of a question: what it says differs from the defaults."""
    query = {"text": question.text, "position": ",".join(map(str, question.positions)), "rank": question.metric}
    if not question.bos:
        query["bos"] = "0"
    if question.reading != "text":
        query["read"] = question.reading
    if question.max_density < 1:
        query["max_density"] = f"{question.max_density:g}"
    if question.top != forms.SHOWN:
        query["top"] = str(question.top)
    if not question.dashboards:
        query["dashboards"] = "0"
    if not question.stored:
        query["stored"] = "0"
    if question.added:
        query["add"] = ",".join(map(str, question.added))
    return urlencode(query)
