"""`/health/` for whoever keeps the site running, `/metrics` for Prometheus."""

import secrets

from django.conf import settings
from django.http import HttpResponse, HttpResponseForbidden, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST

from features.callers import is_here

from . import health
from . import metrics as prometheus

CLOSED = "Metrics are for this machine, or with `Authorization: Bearer` and the token of SAEVIZ_METRICS_TOKEN.\n"


@never_cache
@require_safe
def health_json(request):
    """Open to everybody: it names no path, no person and no address. 503 where no page can be served."""
    found = health.look()
    return JsonResponse(found, status=503 if found["status"] == "down" else 200)


@never_cache
@require_safe
def metrics(request):
    if not may_read_metrics(request):
        return HttpResponseForbidden(CLOSED, content_type="text/plain")
    return HttpResponse(prometheus.text(), content_type=CONTENT_TYPE_LATEST)


def may_read_metrics(request) -> bool:
    """Behind a proxy everybody comes from this machine: only the token counts then."""
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    token = settings.SAEVIZ_METRICS_TOKEN
    if token and kind == "Bearer" and secrets.compare_digest(given.encode(), token.encode()):
        return True
    return is_here(request.META.get("REMOTE_ADDR"), request.headers) and not settings.SAEVIZ_BEHIND_TLS
