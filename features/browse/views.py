"""Which page is asked for, and what is fetched for it? Rows only: nothing here loads a model."""

import json
from functools import wraps
from random import randrange

from django.core.paginator import Paginator
from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from ..jobs.views import may_compute
from ..judge.labels import labels_of, starred_by
from ..judge.reader import reader_of
from ..models import SAE, Feature, Run
from ..storage.findings_file import findings_of
from . import table_files
from .analysis import analysis_page
from .claims import may_claim
from .columns import COLUMNS, FILTERED
from .feature_list import FILTERS, GRADES, LABELLED, SEARCHED, FeatureList
from .feature_page import FiguresUnreadable, feature_page, missing_page, only, passing_page, preview
from .list_rows import ListRows, Place
from .reproduce import feature_snippet
from .sae_health import health_figures, warning, why_none
from .sae_overview import density_histogram, figures, model_and_text, older_note, quick_note, sae_figures
from .windows import CONTEXTS

PER_PAGE = 100
PASSED = 12  # features in one answer
CHOICES = {  # of the table's form
    "shows": FILTERS.items(),
    "searched": SEARCHED.items(),
    "figures": FILTERED.values(),
    "columns": COLUMNS,
    "labelled": LABELLED.items(),
    "grades": GRADES,
}


def json_errors(view):
    """Answers that there is no such thing as `{"error": …}` with status 404."""

    @wraps(view)
    def answer(request, *args, **kwargs):
        try:
            return view(request, *args, **kwargs)
        except Http404 as missing:
            return JsonResponse({"error": str(missing)}, status=404)

    return answer


@require_safe
def home(request):
    saes = list(SAE.objects.for_pages().standing_alone())
    read = [sae for sae in saes if sae.statistics_id]
    for sae in read:
        sae.quick = quick_note(sae)
        sae.findings = len(findings_of(sae).features)
    start = next((sae for sae in read if findings_of(sae).features), read[0] if read else None)
    context = {"runs": Run.objects.with_checkpoints()[:12]}
    context |= {"saes": saes, "start": start, "findings": findings_of(start) if start else None}
    if start and not context["findings"].features:
        context["to_start_with"] = Feature.objects.shown_of(start).worth_reading().narrow().order_by("-maximum")[:8]
    return render(request, "features/home.html", context)


@require_safe
def sae(request, slug):
    sae = sae_or_404(slug)
    context = {"figures": figures(sae), "may_compute": may_compute(request.user), "snippet": sae_snippet(sae)}
    corpus = sae.statistics.corpus if sae.statistics else sae.corpus
    context |= {"health": health_figures(sae), "warning": warning(sae)}
    context |= {"model_and_text": model_and_text(sae, corpus)}
    context |= {"data": {"density_histogram": density_histogram(sae)}, "findings": findings_of(sae)}
    context |= {"quick": quick_note(sae), "older": older_note(sae), "analysis": analysis_page(sae)}
    return render(request, "features/sae.html", {"sae": sae, "here": "sae", **context})


@require_safe
@json_errors
def sae_json(request, slug):
    return compact_json(sae_figures(sae_or_404(slug)))


def sae_snippet(sae: SAE) -> str:
    """A program for its most active feature; none while there are no statistics."""
    first = Feature.objects.shown_of(sae).narrow().order_by("-maximum").first() if sae.statistics_id else None
    return feature_snippet(sae, sae.statistics, first.index) if first else ""


@require_safe
def table(request, slug):
    sae, features = sae_or_404(slug), FeatureList.from_query(request.GET)
    if "figure" in request.GET:  # of the form, which has more fields than are filled in
        return redirect(reverse("features:table", args=[slug]) + features.query())
    rows = ListRows(sae, features, reader_of(request))
    page = Paginator(rows.features(), PER_PAGE).get_page(request.GET.get("page"))
    shown = list(page)
    labels = rows.labels if features.asks_for_labels else labels_of(sae, rows.reader, [row.index for row in shown])
    for feature in shown:
        feature.label, feature.only = labels.get(feature.index), only(feature)
        if features.searches_beside:
            feature.found = rows.found.get(feature.index)
    context = {"sae": sae, "here": "table", "feature_list": features, "page": page, "shown": shown}
    why = rows.why_unsearched or ("" if page.paginator.count else why_none(sae, features.show))
    context |= {"choices": CHOICES, "why_unsearched": why, "quick": quick_note(sae)}
    context |= {"detection": any(feature.label and "score" in feature.label.machine for feature in shown)}
    context |= {"may_keep": rows.reader is not None, "starred": starred_by(sae, rows.reader)}
    return render(request, "features/table.html", context)


@require_safe
@json_errors
def table_file(request, slug, form):
    """The same list as a file."""
    sae, features = sae_or_404(slug), FeatureList.from_query(request.GET)
    if sae.statistics is None:
        raise Http404(f"{sae.name} has no statistics yet.")
    rows = ListRows(sae, features, reader_of(request))
    if why := rows.could_not_search():
        return JsonResponse({"error": why}, status=409)
    return table_files.answer(rows, form)


@require_safe
def feature(request, slug, index):
    sae = sae_or_404(slug)
    data = page_data(request, sae, index)
    context = {"data": data, "quick": data["quick"], "older": older_note(sae), "may_claim": may_claim(request.user)}
    return render(request, "features/feature.html", {"sae": sae, "here": "feature", **context})


@require_safe
@json_errors
def feature_json(request, slug, index):
    """What the page draws; `context=medium` or `whole` has more of each example's row."""
    return compact_json(page_data(request, sae_or_404(slug), index))


@require_safe
@json_errors
def passing_json(request, slug):
    """What is drawn while the slider passes the features `of`, a dozen at most: one answer for a hand that is faster
    than answers are."""
    sae = sae_or_404(slug, SAE.objects.select_related("statistics", "statistics__corpus"))
    named = request.GET.get("of", "").split(",")[:PASSED]
    asked = [int(index) for index in named if index.isdecimal() and len(index) < 10]
    rows = Feature.objects.shown_of(sae).with_payloads().filter(index__in=asked) if sae.statistics_id else ()
    found = {row.index: row for row in rows}
    features = [passing_data(sae, index, found.get(index)) for index in asked if index < sae.d_sae]
    return compact_json({"features": features})


def passing_data(sae: SAE, index: int, row: Feature | None) -> dict:
    try:
        return passing_page(sae, row) if row else {"index": index, "missing": True, "passing": True}
    except FiguresUnreadable:  # its own page says why
        return {"index": index, "missing": True, "passing": True}


def compact_json(data: dict) -> HttpResponse:
    return HttpResponse(json.dumps(data, separators=(",", ":"), allow_nan=False), "application/json")


@require_safe
@never_cache
@json_errors
def random(request, slug):
    """To some feature: one of the list that is being read, or one worth reading; `among=all` takes any."""
    sae, features = sae_or_404(slug), FeatureList.from_query(request.GET)
    name = "features:feature-json" if request.GET.get("as") == "json" else "features:feature"
    any_of_all = request.GET.get("among") == "all"
    index = randrange(sae.d_sae) if any_of_all else random_feature(ListRows(sae, features, reader_of(request)))
    address = redirect(name, slug, index)
    address["Location"] += features.query()
    return address


def random_feature(listed: ListRows) -> int:
    """One of a list; of the plain one, one worth reading, or alive at least. Any where there is none."""
    sae, rows = listed.sae, Feature.objects.shown_of(listed.sae)
    groups = (
        [listed.filtered]
        if listed.list.is_filtered
        else [rows.worth_reading().one_of_each().in_no_swarm(), rows.alive()]
    )
    for group in groups:
        if size := group.count():
            return group.values_list("index", flat=True)[randrange(size)]
    return randrange(sae.d_sae)


def page_data(request, sae: SAE, index: int) -> dict:
    """What the feature's page and its JSON twin share."""
    if not 0 <= index < sae.d_sae:
        raise Http404(f"Feature {index}: this SAE has features 0 to {sae.d_sae - 1}.")
    features = FeatureList.from_query(request.GET)
    row = Feature.objects.shown_of(sae).with_payloads().filter(index=index).first() if sae.statistics_id else None
    context = request.GET.get("context")
    context = context if context in CONTEXTS else "short"
    before, after = index - 1 if index else None, index + 1 if index + 1 < sae.d_sae else None
    listed = None
    if row and not features.is_plain:
        place = ListRows(sae, features, reader_of(request)).place(row)
        before, after, listed = place.before, place.after, _listed(sae, features, place, index)
    if row is None:
        return missing_page(sae, index, before, after, request.user)
    try:
        found = feature_page(sae, row, before, after, previews=previews_of, user=request.user, context=context)
    except FiguresUnreadable as problem:
        found = missing_page(sae, index, before, after, request.user) | {"problem": str(problem)}
    return found | {"listed": listed}


def _listed(sae: SAE, features: FeatureList, place: Place, index: int) -> dict:
    """Which list is followed, where in it the feature stands, and the address of its row."""
    page = (place.number - 1) // PER_PAGE + 1 if place.number else 1
    address = reverse("features:table", args=[sae.slug]) + features.query(page=page if page > 1 else "")
    row = f"{address}#f{index}" if place.number else address
    return {"words": features.words, "number": place.number, "total": place.total, "row": row}


def previews_of(sae: SAE, indices: list[int]) -> dict[int, dict]:
    """The few figures of each of these features, in one query; those without statistics are left out."""
    rows = Feature.objects.shown_of(sae).filter(index__in=indices).narrow()
    return {row.index: preview(row) for row in rows}


def sae_or_404(slug: str, among=None) -> SAE:
    """The SAE with all that pages show beside it, or with what `among` has. Raises Http404 with the names there are."""
    sae = (SAE.objects.for_pages() if among is None else among).filter(slug=slug).first()
    if sae is None:
        known = ", ".join(SAE.objects.values_list("slug", flat=True)[:20]) or "none yet"
        raise Http404(f"There is no SAE “{slug}” here. Known: {known}.")
    return sae
