"""Labels by a language model: what is asked for, what it will take, how far it is, and what came of it."""

from dataclasses import dataclass

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponseForbidden, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from ..browse.feature_list import FeatureList
from ..browse.views import sae_or_404
from ..jobs.lifecycle import Unfinished
from ..jobs.views import STAFF_ONLY, may_change, may_compute
from ..judge.reader import reader_of
from ..messages import BadRequest
from ..models import SAE, AutoInterp
from . import request as requests
from .examples import HELD, SHOWN
from .prompts import PER_QUESTION
from .request import MOST_FEATURES
from .results import results

COUNT = 40
SHOWN_JOBS = 30
MOST = 2**31 - 1
LONGEST = 600  # characters of a field
LONGEST_LIST = 20_000  # of the table's query, which may name its features one by one


@dataclass(frozen=True)
class Form:
    """What the fields hold, as they were typed."""

    which: str = "density"
    feature: str = ""
    count: str = str(COUNT)
    listed: str = ""  # query string of the table
    again: str = ""
    address: str = ""
    model: str = ""
    seed: str = "0"
    price_in: str = ""
    price_out: str = ""
    most_calls: str = ""
    most_tokens: str = ""
    most_cost: str = ""

    @classmethod
    def of(cls, request) -> "Form":
        longest = {"listed": LONGEST_LIST}
        names = (name for name in cls.__dataclass_fields__ if name in request.POST)
        given = {name: request.POST[name].strip()[: longest.get(name, LONGEST)] for name in names}
        if request.method == "POST":
            return cls(**given)
        features = FeatureList.from_query(request.GET)
        feature = request.GET.get("feature", "")
        which = "one" if feature else "list" if features.query() else "density"
        of_site = {"address": settings.SAEVIZ_LLM, "model": settings.SAEVIZ_LLM_MODEL}
        return cls(which=which, feature=feature[:10], listed=features.query()[1:], **of_site)

    def chosen(self, sae: SAE, reader) -> requests.Chosen:
        if self.which == "one":
            return requests.one(sae, _whole("feature", self.feature))
        count = _whole("number of features", self.count)
        if not 1 <= count <= MOST_FEATURES:
            raise BadRequest(f"{count:,} features are asked for; a job labels 1 to {MOST_FEATURES:,}.")
        if self.which == "list":
            return requests.listed(sae, self.feature_list, count, reader)
        return requests.by_density(sae, count)

    @property
    def feature_list(self) -> FeatureList:
        return FeatureList.from_query(QueryDict(self.listed))

    def work(self, sae: SAE, reader) -> tuple[AutoInterp, requests.Estimate, list[str]]:
        """The job, not saved; what it will take; what is left out. Raises BadRequest, ValueError, OSError."""
        chosen = self.chosen(sae, reader)
        if not self.again and self.which != "one":
            chosen = requests.not_labelled_before(sae, chosen, self.model)
        prices = _number("price of tokens sent", self.price_in), _number("price of tokens answered", self.price_out)
        if (prices[0] is None) != (prices[1] is None):
            raise BadRequest("Give both prices, of what is sent and of what is answered, or none.")
        if self.most_cost and prices[0] is None:
            raise BadRequest("A limit of cost needs prices: give both, of a million tokens sent and answered.")
        work = requests.asked(sae, chosen, self.address, self.model, _whole("seed", self.seed or "0"), prices)
        found = requests.estimate(work)
        limits = (self.most_calls and _whole("limit of calls", self.most_calls) or None,)
        limits += (self.most_tokens and _whole("limit of tokens", self.most_tokens) or None,)
        requests.with_limits(work, found, *limits, _number("limit of cost", self.most_cost))
        return work, found, chosen.left_out


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def autointerp(request, slug):
    """The form; a POST estimates, and with `start` in it asks."""
    sae, form = sae_or_404(slug), Form.of(request)
    may = may_change(request.user, AutoInterp)
    context = {"sae": sae, "here": "labels", "may_change": may, "form": form, "may_compute": may_compute(request.user)}
    if request.method == "POST":
        if not may:
            return HttpResponseForbidden(STAFF_ONLY)
        try:
            work, found, left_out = form.work(sae, reader_of(request))
            context |= {"work": work, "estimate": found, "left_out": left_out}
            if "start" in request.POST:
                user = request.user if request.user.is_authenticated else None
                made = requests.start(work, user, how="page")
                return redirect(f"{reverse('features:autointerp', args=[slug])}?{urlencode({'job': made.pk})}")
        except (ValueError, OSError) as problem:
            context["problem"] = str(problem)
    return render(request, "autointerp/autointerp.html", context | _made(request, sae))


def _made(request, sae: SAE) -> dict:
    """Its jobs, and what came of one: the one that is asked for, else the newest."""
    works = sae.autointerps.select_related("requested_by").newest_first()[:SHOWN_JOBS]
    asked = request.GET.get("job", "")
    shown = next((work for work in works if str(work.pk) == asked), works[0] if works else None)
    if shown is not None:
        shown.sae = sae
    told = {"works": works, "shown": shown, "results": results(shown) if shown else None}
    numbers = {"examples_shown": SHOWN, "held": HELD, "per_question": PER_QUESTION, "most_features": MOST_FEATURES}
    return told | numbers | {"llm_hosts": settings.SAEVIZ_LLM_HOSTS, "of_site": settings.SAEVIZ_LLM}


@require_POST
def go_on(request, slug, id):
    """With other limits."""
    if not may_change(request.user, AutoInterp):
        return HttpResponseForbidden(STAFF_ONLY)
    work = get_object_or_404(AutoInterp.objects.select_related("sae"), pk=id, sae__slug=slug)
    try:
        calls, tokens = (
            _whole(f"limit of {name}", request.POST.get(f"most_{name}", "")) for name in ("calls", "tokens")
        )
        cost = _number("limit of cost", request.POST.get("most_cost", ""))
        user = request.user if request.user.is_authenticated else None
        requests.go_on(work, calls, tokens, cost, user)
    except (BadRequest, Unfinished) as problem:
        messages.error(request, str(problem))
    return redirect(f"{reverse('features:autointerp', args=[slug])}?{urlencode({'job': id})}")


def _whole(name: str, text: str) -> int:
    text = text.replace(",", "").strip()
    if not text.isascii() or not text.isdigit() or int(text[:12]) > MOST:
        raise BadRequest(f"The {name} is a whole number from 0 to {MOST:,}, not {text[:20]!r}.")
    return int(text)


def _number(name: str, text: str) -> float | None:
    text = text.strip()
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < 1e9:
        raise BadRequest(f"The {name} is a number from 0 on, as 0.15, not {text[:20]!r}.")
    return number
