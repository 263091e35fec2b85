"""What somebody reads whose form or log-in is refused: what was seen, and which setting lets it in."""

from urllib.parse import urlsplit

from django.conf import settings
from django.http import JsonResponse
from django.middleware.csrf import (
    REASON_BAD_ORIGIN,
    REASON_BAD_REFERER,
    REASON_NO_CSRF_COOKIE,
    REASON_NO_REFERER,
)
from django.shortcuts import render
from django.views.decorators.csrf import requires_csrf_token

ORIGIN_IS_WRONG = (REASON_BAD_ORIGIN, REASON_BAD_REFERER)
SENTENCES = {
    REASON_NO_CSRF_COOKIE: "Your browser sent no cookie of this site. Allow cookies, reload the page, and try again.",
    REASON_NO_REFERER: "Your browser does not say from which page the form came. Allow it to send Origin or Referer.",
}
STALE = "The page is older than your session. Reload it and try again."


@requires_csrf_token
def csrf_failure(request, reason=""):
    """Of the views that check where a form comes from (CSRF_FAILURE_VIEW)."""
    seen = {"origin": request.headers.get("Origin") or _origin_of(request.headers.get("Referer", ""))}
    seen["host"] = _host(request)
    hidden = seen["origin"] == "null"  # no setting lets it in
    wrong_origin = not hidden and any(_is_a(reason, known) for known in ORIGIN_IS_WRONG)
    sentence = "" if wrong_origin else SENTENCES.get(REASON_NO_REFERER if hidden else reason, STALE)
    if wrong_origin:
        said = f"The form came from {seen['origin'] or 'nowhere'}, the site is asked as {seen['host']}."
    else:
        said = sentence
    if "text/html" not in request.headers.get("Accept", "text/html"):
        way_out = f" Set CSRF_TRUSTED_ORIGINS={seen['origin']} where that is right." if wrong_origin else ""
        return JsonResponse({"error": said + way_out}, status=403)
    context = {
        "reason": reason,
        "seen": seen,
        "wrong_origin": wrong_origin,
        "sentence": sentence,
        "trusted": settings.CSRF_TRUSTED_ORIGINS,
        "behind_tls": settings.SAEVIZ_BEHIND_TLS,
    }
    return render(request, "403_csrf.html", context, status=403)


def _origin_of(address: str) -> str:
    """Scheme, host and port of a page's address: what CSRF_TRUSTED_ORIGINS takes."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""


def _is_a(reason: str, template: str) -> bool:
    return reason.startswith(template.split("%s")[0])


def _host(request) -> str:
    """Scheme and host, as the site sees them."""
    return f"{'https' if request.is_secure() else 'http'}://{request.get_host()}"


def locked_out(request, response=None, credentials=None, *args, **kwargs):
    """Too many wrong passwords (AXES_LOCKOUT_CALLABLE)."""
    minutes = int(settings.AXES_COOLOFF_TIME.total_seconds() // 60)
    context = {"tries": settings.AXES_FAILURE_LIMIT, "minutes": minutes}
    return render(request, "429.html", context, status=429)
