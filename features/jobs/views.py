"""How far is a job, and how is it stopped or tried again? JSON for the panels that poll."""

from django.http import JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from ..models import SAE, Job
from . import lifecycle


@never_cache
@require_GET
def job(request, id):
    return JsonResponse(_told(request, get_object_or_404(_with_names(), pk=id)))


@never_cache
@require_GET
def newest(request, slug):
    """The newest job of the SAE: {"job": {...}}, or {"job": null} while there is none."""
    found = _with_names().filter(sae=get_object_or_404(SAE, slug=slug)).newest_first().first()
    return JsonResponse({"job": found and _told(request, found)})


@require_POST
def cancel(request, id):
    return _changed(request, id, lambda job, user: lifecycle.cancel(job))


@require_POST
def retry(request, id):
    return _changed(request, id, lifecycle.retry)


def _changed(request, id, change):
    if not may_compute(request.user):
        return JsonResponse({"error": "Only staff who may compute statistics can do this. Log in first."}, status=403)
    job = get_object_or_404(_with_names(), pk=id)
    try:
        return JsonResponse(_told(request, change(job, request.user)))
    except lifecycle.Unfinished as refusal:
        return JsonResponse({"error": str(refusal), "job": refusal.job.pk}, status=409)


def may_compute(user):
    return user.is_active and user.is_staff and user.has_perm("features.add_job")


def _told(request, job):
    """The job, with the buttons that this user may press."""
    told, may = lifecycle.to_dict(job), may_compute(request.user)
    return told | {"can_cancel": told["can_cancel"] and may, "can_retry": told["can_retry"] and may}


def _with_names():
    return Job.objects.select_related("sae", "requested_by")
