"""Which request is it? A number for each, which logs, answers and error pages carry; how many there were, how slow."""

import logging
import re
import time
import uuid

from . import logs, metrics

log = logging.getLogger("saeviz.requests")

GIVEN = re.compile(r"[\w.-]{6,64}", re.ASCII)  # by a proxy; anything else is not repeated in logs
HEADER = "X-Request-ID"


class TracingMiddleware:
    """Outermost but for the prefix: what it measures is what a reader waits for."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        began, number = time.perf_counter(), number_of(request)
        before = logs.request_id.set(number)
        try:
            response = self.get_response(request)
            response.headers[HEADER] = number
            seconds = time.perf_counter() - began
            # Without the query: prompts are their writers' own.
            log.info("%s %s %s %.0f ms", request.method, request.path, response.status_code, 1000 * seconds)
            metrics.count(request, response.status_code, seconds)
            return response
        finally:
            logs.request_id.reset(before)


def number_of(request) -> str:
    given = request.headers.get(HEADER, "")
    return given if GIVEN.fullmatch(given) else uuid.uuid4().hex[:12]
