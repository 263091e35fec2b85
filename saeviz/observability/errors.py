"""What a reader sees when the site fails: a page that needs no database, with the number that the log has.

A disk that is full and a database that is busy or away are told as that: who reads it can do something.
"""

import re
import sys

from django.db import DatabaseError
from django.http import HttpResponse, JsonResponse
from django.template import loader

from features import messages

from . import logs

SENTENCE = "Something broke on the server. The server's log says why, under the number of this answer."
NOT_KEPT = "What was sent is not kept: send it again then."
LOCKED = "Others wrote into the database for too long. What was sent is not kept: send it again in a few seconds."
AWAY = "The database does not answer. What is kept in it is not lost; reload in a minute."
NO_ANSWER = re.compile(
    "connection (to server|refused|failed|timed out|is closed|already closed|is lost)|could not connect|"
    "server closed the connection|terminating connection|too many (clients|connections)|starting up|shutting down",
    re.I,
)  # as PostgreSQL and its driver say it


def server_error(request):
    """Of the exception that is being handled: 507 without room, 503 without a database, else 500."""
    number, (status, sentence) = logs.request_id.get(), _told(sys.exc_info()[1])
    if _wants_json(request):
        answer = JsonResponse({"error": sentence, "number": number}, status=status)
    else:
        told = {"number": number, "sentence": sentence if status != 500 else ""}
        answer = HttpResponse(loader.render_to_string("500.html", told), status=status)
    if status == 503:
        answer.headers["Retry-After"] = "5"
    return answer


def _told(error: BaseException | None) -> tuple[int, str]:
    if error is not None and messages.is_disk_full(error):
        return 507, f"{messages.disk_full(error)} {NOT_KEPT}"
    if isinstance(error, DatabaseError) and "database is locked" in str(error):
        return 503, LOCKED
    if isinstance(error, DatabaseError) and NO_ANSWER.search(str(error)):
        return 503, AWAY
    return 500, SENTENCE


def _wants_json(request) -> bool:
    if request.path.endswith(".json") or request.GET.get("format") == "json":
        return True
    return request.method not in ("GET", "HEAD") and "text/html" not in request.headers.get("Accept", "")
