"""Staff's page of what the site keeps, and the one that asks before something is removed."""

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from features.messages import BadRequest, size
from features.storage.holdings import registry

from . import kinds
from .sizes import removals, sizes

FIRST, A_PAGE = 20, 100  # things shown of each kind, and of one kind alone
TO_SEE = "features.add_job"  # it names paths, as imports do


@never_cache
@require_safe
def kept(request):
    """All kinds with their first things, or one kind with all of its own."""
    _only_with(request, TO_SEE)
    counted, only = sizes.look(), request.GET.get("kind")
    chosen = {name: holding for name, holding in kinds.registered().items() if only in (None, name)}
    if not chosen:
        raise Http404(f"Nothing of the kind {only!r} is kept.")
    shown = [_kind(request, holding, A_PAGE if only else FIRST) for holding in chosen.values()]
    bytes = sum(kind["bytes"] for kind in shown)
    context = {"title": "What the site keeps", "kinds": shown, "only": only, "counted": counted, "bytes": size(bytes)}
    return TemplateResponse(request, "admin/kept/kept.html", admin.site.each_context(request) | context)


def _kind(request, holding, a_page) -> dict:
    items = list(holding.items())
    page = Paginator(items, a_page).get_page(request.GET.get("page") if a_page == A_PAGE else 1)
    known = [sizes.of(holding.name, item.key) for item in items]
    bytes = sum(one.bytes for one in known if one)
    return {
        "holding": holding,
        "page": page,
        "count": len(items),
        "bytes": bytes,
        "size": size(bytes) if items and any(known) else "",
        "rows": [_row(holding, item) for item in page],
        "may_remove": request.user.has_perm(holding.permission),
    }


def _row(holding, item) -> dict:
    known = sizes.of(holding.name, item.key)
    return {
        "item": item,
        "size": size(known.bytes) if known else "",
        "used": item.used or (known and known.used),
        "is_going": removals.is_going(holding.name, item.key),
        "failed": removals.failed.get((holding.name, item.key), ""),
        "address": "?" + urlencode({"kind": holding.name, "key": item.key}),
    }


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def remove(request):
    """What is lost and what it costs to have it again; then, once that is said yes to, away with it."""
    name, key = request.GET.get("kind", ""), request.GET.get("key", "")
    try:
        holding, item = registry.find(name, key)
    except BadRequest as refusal:
        messages.warning(request, str(refusal))
        return redirect("kept")
    _only_with(request, TO_SEE)
    _only_with(request, holding.permission)
    why_not = holding.why_not(key)
    if request.method == "POST" and not why_not and not removals.is_going(name, key):
        return _removed(request, holding, item)
    known = sizes.of(name, key)
    context = {
        "title": f"Remove from {holding.title.lower()}",
        "holding": holding,
        "item": item,
        "size": size(known.bytes) if known else "not counted yet",
        "again": item.again() if item.again else holding.again,
        "why_not": "It is being removed already." if removals.is_going(name, key) else why_not,
    }
    answer = TemplateResponse(request, "admin/kept/remove.html", admin.site.each_context(request) | context)
    answer.status_code = 409 if why_not and request.method == "POST" else 200
    return answer


def _removed(request, holding, item):
    gone = removals.begin(holding.name, item.key, lambda: registry.remove(holding.name, item.key))
    if failed := removals.failed.get((holding.name, item.key)):
        messages.error(request, f"Not removed: {item.what}. {failed}")
    elif gone:
        messages.success(request, f"Removed: {item.what}.")
    else:
        messages.info(request, f"{item.what} is being removed; that goes on by itself.")
    return redirect("kept")


def _only_with(request, permission: str) -> None:
    if not request.user.has_perm(permission):
        raise PermissionDenied
