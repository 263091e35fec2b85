"""Pages of two SAEs at the same place: a feature and its counterpart, and how much the whole dictionaries share."""

from django.core.paginator import Paginator
from django.http import Http404, HttpResponseForbidden
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from ...engine.training.dictionary_match import VERDICTS, verdicts
from ...jobs.views import STAFF_ONLY, may_compute
from ...messages import BadRequest
from ...models import SAE, Comparison
from ...templatetags.formatting import percent
from ..history import checkpoint_of
from . import dictionaries, health, matches

PER_PAGE = 100


@require_safe
def beside(request, slug, index):
    """A feature and its counterpart in another SAE at the same place, in two columns, with chance beside each match."""
    sae = get_object_or_404(SAE.objects.for_pages(), slug=slug)
    if not 0 <= index < sae.d_sae:
        raise Http404(f"Feature {index}: this SAE has features 0 to {sae.d_sae - 1}.")
    others, other = _others(sae, request.GET.get("other", ""))
    found, problem = None, ""
    try:
        found = matches.counterpart(index, sae, other) if other else None
    except (ValueError, OSError) as trouble:
        problem = str(trouble)
    columns = [{"sae": sae, "feature": index}]
    columns += [{"sae": other, "feature": found.feature}] if found else []
    data = {"columns": [sae_column(**column) for column in columns], "order": _order(sae, other) if found else 0}
    context = {"index": index, "others": others, "other": other, "found": found, "problem": problem, "data": data}
    return render(request, "runs/beside.html", {"sae": sae, "here": "feature", **context})


def _order(sae: SAE, other: SAE) -> int:
    """1 where the other is a later checkpoint of the same run, -1 where it is an earlier one, 0 elsewhere."""
    moments = [checkpoint_of(each) for each in (sae, other)]
    if None in moments or moments[0].run_id != moments[1].run_id:
        return 0
    mine, its = ((each.step is None, each.step or 0, each.appeared) for each in moments)
    return 1 if its > mine else -1


def sae_column(sae: SAE, feature: int) -> dict:
    """What a script needs to draw a feature of one of the two."""
    address = f"{sae.get_absolute_url()}features/{feature}"
    return {"name": _short(sae), "feature": feature, "page": f"{address}/", "json": f"{address}.json"}


@require_safe
def dictionaries_page(request, slug):
    """Two whole SAEs: how many features they share, how their health differs, and which are in one only."""
    sae = get_object_or_404(SAE.objects.for_pages(), slug=slug)
    others, other = _others(sae, request.GET.get("other", ""))
    found = other and Comparison.objects.of(sae, other).filter(state=Comparison.State.DONE).first()
    context = {
        "sae": sae,
        "others": others,
        "other": other,
        "found": found,
        "work": other and Comparison.objects.of(sae, other).first(),
        "is_old": bool(found and found.about != dictionaries.about(sae, other)),
        "names": [_short(each) for each in (sae, other) if each],
        "shares": found and _shares(found),
        "health": other and health.beside(sae, other),
        "data": {"points": found and _points(found), "verdicts": VERDICTS},
        "may_compute": may_compute(request.user),
        "here": "sae",
    }
    return render(request, "runs/dictionaries.html", context | (_list(found, request.GET) if found else {}))


@require_POST
def compare(request, slug):
    """Have a worker hold the two beside each other."""
    if not may_compute(request.user):
        return HttpResponseForbidden(STAFF_ONLY)
    sae = get_object_or_404(SAE.objects.for_pages(), slug=slug)
    _, other = _others(sae, request.POST.get("other", ""))
    if other is None:
        raise Http404("Say beside which other SAE.")
    dictionaries.request(sae, other, request.user)
    return redirect(f"{request.path}?other={other.slug}")


def _others(sae: SAE, chosen: str) -> tuple[list[SAE], SAE | None]:
    """Those that read the same place, and the one that is chosen."""
    others = [each for each in SAE.objects.for_pages().exclude(pk=sae.pk) if not sae.not_comparable(each)]
    other = next((each for each in others if each.slug == chosen), None)
    if chosen and other is None:
        raise Http404(f"No SAE “{chosen}” reads the same place. There are: {', '.join(each.slug for each in others)}.")
    return others, other


def _shares(found: Comparison) -> list[dict]:
    """Of each verdict how many; without activations nobody knows who is matched."""
    whole, unknown = max(1, sum(found.figures["shares"].values())), bool(found.figures["why_no_activity"])
    shares = [
        {"name": name, "count": count, "share": percent(count / whole), "meaning": dictionaries.SAID[name]}
        for name, count in found.figures["shares"].items()
        if not (unknown and name in ("matched", "activations only"))
    ]
    for each in shares if unknown else ():
        each["name_shown"] = {"decoder only": "By decoder", "unmatched": "Not by decoder"}[each["name"]]
        each["meaning"] = {
            "decoder only": "have a counterpart by decoder: each is the other's best, above chance",
            "unmatched": "have none: no decoder row above chance, or none that is mutual",
        }[each["name"]]
    return shares


def _short(sae: SAE) -> str:
    """As the page calls one of the two: by its step where it is a moment of a run."""
    moment = checkpoint_of(sae)
    return f"{moment.label} of {moment.run.name}" if moment else sae.name


def _points(found: Comparison) -> dict:
    """Of each feature: how near its counterpart is, by decoder and by activations, and what it is."""
    pairs = dictionaries.pairs_of(found)
    has_activity = not found.figures["why_no_activity"]
    known = pairs["correlation"] if has_activity else pairs["cosine"]
    return {
        "cosine": pairs["cosine"].round(3).tolist(),
        "correlation": [None if value != value else round(float(value), 3) for value in known]
        if has_activity
        else None,
        "decoder": pairs["decoder"].tolist(),
        "verdict": verdicts(pairs, found.figures["decoder_chance"]).tolist(),
        "chance": found.figures["decoder_chance"],
    }


def _list(found: Comparison, query) -> dict:
    """The features of one of the lists, and each one's best."""
    if not (name := query.get("list")):
        return {}
    try:
        indices = dictionaries.listed(found, name)
    except BadRequest as refusal:
        raise Http404(str(refusal)) from refusal
    pairs, page = dictionaries.pairs_of(found), Paginator(indices, PER_PAGE).get_page(query.get("page"))
    rows = [{"index": int(index)} | {key: pairs[key][index].item() for key in pairs.dtype.names} for index in page]
    return {"list": name, "sentence": dictionaries.SAID[name], "count": len(indices), "page": page, "rows": rows}
