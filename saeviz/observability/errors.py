"""What a reader sees when the site fails: a page that needs no database, with the number that the log has."""

from django.http import HttpResponseServerError, JsonResponse
from django.template import loader

from . import logs

SENTENCE = "Something broke on the server. The server's log says why, under the number of this answer."


def server_error(request):
    number = logs.request_id.get()
    if request.path.endswith(".json") or request.GET.get("format") == "json":
        return JsonResponse({"error": SENTENCE, "number": number}, status=500)
    return HttpResponseServerError(loader.render_to_string("500.html", {"number": number}))
