"""The overview of all features, and the arrays that it is drawn from."""

import numpy as np
from django.http import Http404, HttpResponse, HttpResponseForbidden
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.cache import patch_cache_control
from django.views.decorators.http import require_POST, require_safe

from ..browse.columns import RANGED
from ..browse.feature_list import FeatureList
from ..browse.list_rows import ListRows
from ..browse.sae_overview import quick_note
from ..browse.views import sae_or_404
from ..jobs.views import STAFF_ONLY, may_compute
from ..judge.reader import reader_of
from ..models import Feature
from . import maps, pair, points

KEPT = 3600  # seconds in a browser: the address has the set of statistics, whose figures may still be filled in


@require_safe
def overview(request, slug):
    sae, features = sae_or_404(slug), FeatureList.from_query(request.GET)
    data = {"d_sae": sae.d_sae, "statistics": sae.statistics_id, "columns": points.choices()}
    data |= {"list": features.query(), "words": features.words if features.is_filtered else ""}
    made, newest = maps.map_of(sae), maps.newest(sae)
    data |= {"map": reverse("features:overview-map", args=[slug, made.pk]) if made else None}
    context = {"sae": sae, "here": "overview", "data": data, "quick": quick_note(sae)}
    context |= {"made": made, "newest": newest, "may_compute": may_compute(request.user)}
    return render(request, "overview/overview.html", context | {"feature_list": features})


@require_safe
def column(request, slug, name):
    """One figure of all features: float32 by the feature's number, NaN where it has none."""
    sae = sae_or_404(slug)
    if name not in RANGED:
        raise Http404(f"There is no figure “{name}”. There are: {', '.join(RANGED)}.")
    return _kept(_array(points.values(sae, RANGED[name])))


@require_safe
def listed(request, slug):
    """The numbers of the features in a list of the table: uint32."""
    sae, features = sae_or_404(slug), FeatureList.from_query(request.GET)
    return _array(points.listed(ListRows(sae, features, reader_of(request))))


@require_safe
def map_file(request, slug, id):
    """Where each feature's decoder lies on a map: float32, two numbers a feature, NaN where it has no place."""
    made = get_object_or_404(maps.DecoderMap, pk=id, sae__slug=slug, state=maps.State.DONE)
    return _kept(HttpResponse(bytes(made.places), "application/octet-stream"))


@require_POST
def request_map(request, slug):
    """Have it made by a worker; the overview shows how far that is."""
    if not may_compute(request.user):
        return HttpResponseForbidden(STAFF_ONLY)
    maps.request_map(sae_or_404(slug), request.user, how="page")
    return redirect("features:overview", slug)


@require_safe
def compare(request, slug, index):
    """Two features beside each other; without a choice, beside the one whose decoder is most like its own."""
    sae, other = sae_or_404(slug), request.GET.get("with", "")
    a, b = _row(sae, index), None
    other = int(other) if other.isdecimal() and len(other) < 10 else None
    unreadable = ""
    if a is not None and other is None:
        try:
            other = pair.nearest(a)
        except ValueError as problem:
            unreadable = f"What was stored of its neighbours cannot be read: {problem}"
    if other is not None:
        b = _row(sae, other)
    told = pair.compared(sae, a, b) if a is not None and b is not None else None
    columns = [_board(sae, each) for each in (index, other) if each is not None]
    data = {"columns": columns, "shared": told["together"]["examples"] if told and told["together"] else []}
    data |= {"maximum": a.maximum if a else 0}
    context = {"sae": sae, "here": "feature", "index": index, "other": other, "found": told, "data": data}
    context |= {"unreadable": unreadable}
    return render(request, "overview/compare.html", context)


def _row(sae, index: int) -> Feature | None:
    """None while nothing is known of it. Raises Http404 where the SAE has no such feature."""
    if not 0 <= index < sae.d_sae:
        raise Http404(f"Feature {index}: this SAE has features 0 to {sae.d_sae - 1}.")
    return Feature.objects.shown_of(sae).with_payloads().filter(index=index).first() if sae.statistics_id else None


def _board(sae, index: int) -> dict:
    """What a script needs to draw one of the two."""
    address = f"{sae.get_absolute_url()}features/{index}"
    return {"name": "", "feature": index, "page": f"{address}/", "json": f"{address}.json"}


def _array(values: np.ndarray) -> HttpResponse:
    return HttpResponse(values.tobytes(), "application/octet-stream")


def _kept(response: HttpResponse) -> HttpResponse:
    patch_cache_control(response, private=True, max_age=KEPT)
    return response
