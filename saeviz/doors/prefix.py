"""Under which path does the site lie? Proxies pass it on (nginx, Caddy) or take it off (JupyterHub); both are answered,
and every address that the site gives has it."""

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
        if request.path_info.startswith(f"{prefix}/"):
            request.path_info = request.path_info[len(prefix) :]
        request.META["SCRIPT_NAME"], request.META["PATH_INFO"] = prefix, request.path_info
        set_script_prefix(f"{prefix}/")  # of what is reversed from here on
        request.path = prefix + request.path_info
        return self.get_response(request)
