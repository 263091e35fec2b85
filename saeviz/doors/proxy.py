"""Behind a proxy that speaks HTTPS: whose request is it, and how did it come?"""

from django.conf import settings


class ProxyMiddleware:
    """With SAEVIZ_BEHIND_TLS=1: the address is the last that the proxy names, and what does not say how it came, came
    by HTTPS. Without it nothing that a request says of itself is believed."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        if settings.SAEVIZ_BEHIND_TLS:
            request.META.setdefault("HTTP_X_FORWARDED_PROTO", "https")  # or SSL_REDIRECT would send it round for ever
            said = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")[-1].strip()
            request.META["REMOTE_ADDR"] = said or request.META.get("REMOTE_ADDR", "")
        return self.get_response(request)


def address_of(request) -> str | None:
    return request.META.get("REMOTE_ADDR") or None
