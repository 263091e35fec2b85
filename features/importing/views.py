"""How far is an import, how is it stopped, and do the stored numbers still hold? For staff; a worker does the work."""

from django.http import HttpResponseForbidden, JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from ..jobs import verification
from ..jobs.views import may_compute
from ..models import SAE, Import
from . import job
from .hub_transfer import DownloadProgress

STAFF_ONLY = "Only staff who may compute statistics can do this. Log in first."
STOPS = "stops as soon as the step it is in has ended"


@never_cache
@require_GET
def import_json(request, id):
    return _told(request, id, lambda row: row)


@require_POST
def cancel(request, id):
    return _told(request, id, job.cancel)


@require_POST
def retry(request, id):
    return _told(request, id, job.retry)


def _told(request, id, change):
    if not may_compute(request.user):
        return JsonResponse({"error": STAFF_ONLY}, status=403)
    return JsonResponse(to_dict(change(get_object_or_404(Import, pk=id))))


@require_POST
def verify(request, slug):
    """Have stored activations recomputed by a worker; the SAE's page shows the outcome."""
    if not may_compute(request.user):
        return HttpResponseForbidden(STAFF_ONLY)
    sae = get_object_or_404(SAE.objects.for_pages(), slug=slug)
    verification.request_verification(sae)
    return redirect(f"{sae.get_absolute_url()}#verification")


def to_dict(row: Import) -> dict:
    return {
        "id": row.pk,
        "state": row.state,
        "sentence": sentence_of(row),
        "error": row.error,
        "done": row.done,
        "total": row.total,
        "share": row.done / row.total if row.total else None,
        "rate": row.rate,
        "seconds_left": _download(row).seconds_left if row.total else None,
        "can_cancel": row.can_be_cancelled,
        "can_retry": row.can_be_retried,
    }


def sentence_of(row: Import) -> str:
    """How far an import is, and what became of it."""
    if row.state not in Import.UNFINISHED:
        return f"{row.state}: {row.error}" if row.error else row.state
    step = str(_download(row)) if row.total else row.step
    parts = [step, STOPS if row.cancel_requested else ""]
    said = "; ".join(filter(None, parts))
    return f"{row.state}: {said} …" if said else row.state


def _download(row: Import) -> DownloadProgress:
    return DownloadProgress(row.step, row.done, row.total, row.rate)
