"""Under which path does the site lie? Proxies pass it on (nginx, Caddy) or take it off (JupyterHub); both are answered,
and every address that the site gives has it."""

import posixpath
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpResponsePermanentRedirect
from django.urls import set_script_prefix


class PrefixMiddleware:
    """Before everything else: views and files are looked up without the prefix."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        prefix = settings.FORCE_SCRIPT_NAME
        if not prefix:
            return self.get_response(request)
        if request.path_info == prefix:
            return HttpResponsePermanentRedirect(f"{prefix}/")
        taken_off = not request.path_info.startswith(f"{prefix}/")
        if not taken_off:
            request.path_info = request.path_info[len(prefix) :]
        request.META["SCRIPT_NAME"], request.META["PATH_INFO"] = prefix, request.path_info
        set_script_prefix(f"{prefix}/")  # of what is reversed from here on
        request.path = prefix + request.path_info
        response = self.get_response(request)
        if taken_off and response.get("Location", "").startswith(f"{prefix}/"):
            response.headers["Location"] = relative(response["Location"], request.path)
        return response


def relative(address: str, path: str) -> str:
    """An address of this site as seen from a path: some proxies that take a path off put it in front of redirects to
    absolute ones (newer versions of jupyter-server-proxy), others do not, and none touches this."""
    parts = urlsplit(address)
    folder, name = posixpath.split(parts.path)
    way = posixpath.relpath(folder, posixpath.dirname(path))
    return parts._replace(scheme="", netloc="", path=f"{'' if way.startswith('.') else './'}{way}/{name}").geturl()
