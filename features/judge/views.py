"""Which judgement is asked for, changed, brought or taken away? JSON for panels, a page for an SAE's labels."""

import json

from django.contrib import messages
from django.db.models import Count
from django.http import HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from ..jobs.views import STAFF_ONLY, may_compute
from ..messages import BadRequest
from ..models import SAE, Judgement, JudgementChange
from . import findings_out, inherited, keep, label_files, label_import, machine
from .feature_judgements import judgements
from .reader import NOT_SIGNED_IN, reader_of, sign_in

SHOWN_CHANGES = 50
TYPES = {"json": ("application/json", label_files.as_json), "csv": ("text/csv; charset=utf-8", label_files.as_csv)}


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def feature_labels(request, slug, index):
    """What is said of a feature; a POST of {"changes": {...}, "revision": n} changes the reader's own, one of
    {"reject": {"weights": ..., "feature": n}} (or "take_back") what is inherited from a counterpart."""
    sae, reader = _sae_or_404(slug), reader_of(request)
    if not 0 <= index < sae.d_sae:
        return JsonResponse({"error": f"Feature {index}: this SAE has features 0 to {sae.d_sae - 1}."}, status=404)
    if request.method == "POST":
        if reader is None:
            return _not_signed_in(request, slug)
        try:
            asked = _object(request)
            if "reject" in asked or "take_back" in asked:
                _reject(asked, sae, index, reader)
                return JsonResponse(judgements(sae, index, reader) | {"csrf": get_token(request)})
            revision, taken_from = asked.get("revision"), asked.get("taken_from", "")
            if not isinstance(revision, int) or not isinstance(asked.get("changes"), dict):
                raise BadRequest('A change is {"changes": {"label": "…"}, "revision": 3}.')
            keep.change(sae, index, reader, asked["changes"], revision, str(taken_from))
        except keep.Clash as clash:
            clashing = {"error": str(clash), "clash": clash.fields}
            return JsonResponse(clashing | judgements(sae, index, reader), status=409)
        except BadRequest as problem:
            return JsonResponse({"error": str(problem)}, status=400)
    answer = judgements(sae, index, reader)
    if reader is None:
        answer["sign_in"] = sign_in(sae.feature_url(index))
    return JsonResponse(answer | {"csrf": get_token(request)})


def _reject(asked: dict, sae: SAE, index: int, reader) -> None:
    source = asked.get("reject") or asked.get("take_back")
    known = isinstance(source, dict) and isinstance(source.get("weights"), str)
    if not known or type(source.get("feature")) is not int or source["feature"] < 0:
        raise BadRequest('A rejection is {"reject": {"weights": "…", "feature": 17}}: of the counterpart.')
    if "reject" in asked:
        inherited.reject(sae, index, source["weights"], source["feature"], reader)
    else:
        inherited.take_back(sae, index, source["weights"], source["feature"])


@require_POST
def reject(request, slug, index):
    """A machine's label, or no longer: {"id": 7, "rejected": true}."""
    sae, reader = _sae_or_404(slug), reader_of(request)
    if reader is None:
        return _not_signed_in(request, slug)
    try:
        asked = _object(request)
        if type(asked.get("id")) is not int or type(asked.get("rejected")) is not bool:
            raise BadRequest('A rejection is {"id": 7, "rejected": true}.')
        machine.reject(sae, index, reader, asked["id"], asked["rejected"])
    except BadRequest as problem:
        return JsonResponse({"error": str(problem)}, status=400)
    return JsonResponse(judgements(sae, index, reader) | {"csrf": get_token(request)})


@require_POST
def stars(request, slug):
    """Stars that a browser had kept for itself: {"stars": [3, 17]}."""
    sae, reader = _sae_or_404(slug), reader_of(request)
    if reader is None:
        return _not_signed_in(request, slug)
    try:
        indices = _object(request).get("stars")
        if not isinstance(indices, list) or not all(type(index) is int for index in indices) or len(indices) > 10_000:
            raise BadRequest('Stars are {"stars": [3, 17]}, at most 10,000 of them.')
    except BadRequest as problem:
        return JsonResponse({"error": str(problem)}, status=400)
    return JsonResponse({"added": keep.add_stars(sae, reader, indices)})


@never_cache
@require_safe
def labels(request, slug):
    """All that is kept about an SAE, and its ways in and out."""
    sae, reader = _sae_or_404(slug), reader_of(request)
    rows = Judgement.objects.of(sae).saying_something()
    authors = rows.values("author", "kind").annotate(count=Count("pk")).order_by("-count", "author")
    changes = JudgementChange.objects.filter(judgement__weights=sae.checkpoint_hash).select_related("judgement")
    context = {"sae": sae, "here": "labels", "reader": reader, "authors": authors, "changes": changes[:SHOWN_CHANGES]}
    context |= {
        "others": inherited.compared_with(sae),
        "total": rows.count(),
        "elsewhere": _elsewhere(),
        "may_compute": may_compute(request.user),
    }
    return render(request, "judge/labels.html", context | {"sign_in": sign_in(request.path)})


def _elsewhere() -> list[dict]:
    """What is kept about weights that no SAE here has."""
    here = SAE.objects.values("checkpoint_hash")
    rows = Judgement.objects.saying_something().exclude(weights__in=here)
    return list(rows.values("weights", "width").annotate(count=Count("pk")).order_by("-count")[:20])


@never_cache
@require_safe
def export(request, slug, form):
    """`by=me`: the reader's own alone. `weights`: those of other weights."""
    sae, reader = _sae_or_404(slug), reader_of(request)
    weights = request.GET.get("weights", sae.checkpoint_hash)
    rows = Judgement.objects.filter(weights=weights).saying_something()
    if request.GET.get("by") == "me":
        rows = rows.filter(author=reader.name if reader else "", kind=Judgement.Kind.PERSON)
    content_type, written = TYPES[form]
    answer = HttpResponse(written(rows.order_by("index", "author").iterator()), content_type)
    answer["Content-Disposition"] = f'attachment; filename="{sae.slug}.labels.{form}"'
    return answer


@require_POST
def bring(request, slug):
    """Labels from a file; the page says what became of each."""
    sae, reader = _sae_or_404(slug), reader_of(request)
    if reader is None:
        return _not_signed_in(request, slug)
    file = request.FILES.get("file")
    try:
        if file is None:
            raise BadRequest("Choose a file of labels first: JSON or CSV.")
        author = " ".join(request.POST.get("author", "").split())[:200]
        content = file.read(label_files.MOST_BYTES + 1)
        report = label_import.take(label_files.read(content, sae, reader.name), sae, reader, author)
        for sentence in report.sentences(sae):
            messages.info(request, sentence)
    except BadRequest as problem:
        messages.error(request, str(problem))
    return redirect("features:labels", slug)


@never_cache
@require_safe
def findings(request, slug):
    """The findings.json that there would be with the reader's labels."""
    sae, reader = _sae_or_404(slug), reader_of(request)
    if reader is None:
        return _not_signed_in(request, slug)
    try:
        whole, *_ = findings_out.with_labels(sae, reader)
    except BadRequest as problem:
        messages.error(request, str(problem))
        return redirect("features:labels", slug)
    answer = HttpResponse(findings_out.as_text(whole), "application/json")
    answer["Content-Disposition"] = 'attachment; filename="findings.json"'
    return answer


@require_POST
def write_findings(request, slug):
    """Put the reader's labels into the file beside the weights."""
    sae, reader = _sae_or_404(slug), reader_of(request)
    if reader is None or not may_compute(request.user):
        return JsonResponse({"error": STAFF_ONLY}, status=403)
    try:
        file, new, before = findings_out.write(sae, reader)
        there = f"; {before} of the labelled features had one, which stands" if before else ""
        messages.success(request, f"{new} finding{'s' * (new != 1)} added to {file}{there}.")
    except BadRequest as problem:
        messages.error(request, str(problem))
    return redirect("features:labels", slug)


def _object(request) -> dict:
    """What a request carries. Raises BadRequest."""
    try:
        found = json.loads(request.body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise BadRequest("What was sent is no JSON object.")
    return found


def _not_signed_in(request, slug):
    return JsonResponse(
        {"error": NOT_SIGNED_IN, "sign_in": sign_in(reverse("features:labels", args=[slug]))}, status=403
    )


def _sae_or_404(slug: str) -> SAE:
    return get_object_or_404(SAE.objects.for_pages(), slug=slug)
