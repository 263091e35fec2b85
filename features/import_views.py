"""How far is an import, and do the stored numbers still hold? For staff; the work itself is a worker's."""

from django.http import HttpResponseForbidden, JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from . import verifying
from .job_views import may_compute
from .models import SAE, Import

STAFF_ONLY = "Only staff who may compute statistics can do this. Log in first."


@never_cache
@require_GET
def import_json(request, id):
    if not may_compute(request.user):
        return JsonResponse({"error": STAFF_ONLY}, status=403)
    row = get_object_or_404(Import, pk=id)
    return JsonResponse({"id": row.pk, "state": row.state, "sentence": sentence_of(row), "error": row.error})


@require_POST
def verify(request, slug):
    """Have stored activations recomputed by a worker; the SAE's page shows the outcome."""
    if not may_compute(request.user):
        return HttpResponseForbidden(STAFF_ONLY)
    sae = get_object_or_404(SAE.objects.for_pages(), slug=slug)
    verifying.request_verification(sae)
    return redirect(f"{sae.get_absolute_url()}#verification")


def sentence_of(row: Import) -> str:
    """How far an import is, and what became of it."""
    if row.state == Import.State.FAILED:
        return f"failed: {row.error}"
    return f"{row.state}: {row.step} …" if row.step else row.state
