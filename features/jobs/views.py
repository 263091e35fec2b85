"""How far is a piece of work, and how is it stopped or tried again? JSON for the panels that poll."""

from contextlib import suppress

from django.conf import settings
from django.http import HttpResponseForbidden, JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from ..messages import BadRequest
from ..models import SAE, AutoInterp, Import
from . import lifecycle, status, verification

STAFF_ONLY = "Only staff who may compute statistics can do this. Log in first."


@never_cache
@require_GET
def work_json(request, kind, id):
    """Open to every reader, but for imports, which name paths."""
    if status.KINDS[kind] is Import and not may_compute(request.user):
        return JsonResponse({"error": STAFF_ONLY}, status=403)
    return JsonResponse(_answer(request, _work_or_404(kind, id)))


@never_cache
@require_GET
def newest_job(request, slug):
    """The newest job of the SAE: {"job": {...}}, or {"job": null} while there is none."""
    job = _with_names("job").filter(sae=get_object_or_404(SAE, slug=slug)).newest_first().first()
    return JsonResponse({"job": job and _answer(request, job)})


@require_POST
def cancel(request, kind, id):
    return _changed(request, kind, id, lambda work, user: lifecycle.cancel(work))


@require_POST
def retry(request, kind, id):
    return _changed(request, kind, id, lifecycle.retry)


def _changed(request, kind, id, change):
    if not may_change(request.user, status.KINDS[kind]):
        return JsonResponse({"error": STAFF_ONLY}, status=403)
    work, user = _work_or_404(kind, id), request.user if request.user.is_authenticated else None
    try:
        return JsonResponse(_answer(request, change(work, user)))
    except lifecycle.Unfinished as refusal:
        return JsonResponse({"error": str(refusal), "job": refusal.job.pk}, status=409)


@require_POST
def verify(request, slug):
    """Have stored activations recomputed by a worker; the SAE's page shows how far that is, and the outcome."""
    if not may_compute(request.user):
        return HttpResponseForbidden(STAFF_ONLY)
    sae = get_object_or_404(SAE.objects.for_pages(), slug=slug)
    with suppress(BadRequest):  # the page says that it has no statistics
        verification.request_verification(sae, request.user, how="page")
    return redirect(f"{sae.get_absolute_url()}#verification")


def may_compute(user):
    return user.is_active and user.is_staff and user.has_perm("features.add_job")


def may_change(user, kind) -> bool:
    """Whether a kind of work may be asked for, stopped and tried again: by staff; labels by a language model also by
    the one person of a site that only this machine reaches."""
    return may_compute(user) or (kind is AutoInterp and settings.SAEVIZ_ONLY_HERE)


def _answer(request, work):
    """The work, with the buttons that this user may press."""
    answer, may = status.to_dict(work), may_change(request.user, type(work))
    return answer | {"can_cancel": answer["can_cancel"] and may, "can_retry": answer["can_retry"] and may}


def _work_or_404(kind, id):
    return get_object_or_404(_with_names(kind), pk=id)


def _with_names(kind):
    return status.KINDS[kind].objects.select_related("sae", "requested_by")
