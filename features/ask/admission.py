"""Who may look for a pattern now? Two at a time, others in line; strangers so often a minute."""

from contextlib import contextmanager

from django.http import JsonResponse

from .. import runtime, strangers
from ..messages import Refused
from ..turns import Busy, WaitingLine

LONGEST = 30.0  # seconds in line
TOLD_EVERY = 1.0  # seconds between two words about the place in it
line = WaitingLine(room=6, at_once=2, what="patterns to be looked for")
NO_ANSWER = (Refused, Busy, runtime.Unavailable, runtime.NotYet)


@contextmanager
def turn(request):
    """To look for a pattern. Raises Refused for strangers who ask too often, Busy where too many ask."""
    strangers.refuse_patterns(request)
    with line.turn(patience=LONGEST):
        yield


def told(failure) -> dict:
    """{"error"}, and for who may come again {"retry_after", "place"}."""
    return failure.to_dict() if isinstance(failure, Busy) else {"error": str(failure) or "The model is being loaded."}


def status_of(failure) -> int:
    return failure.status if isinstance(failure, Refused) else 503


def come_again(response, failure):
    """The answer, with when to come again."""
    if isinstance(failure, Busy):
        response.headers["Retry-After"] = str(failure.retry_after)
    return response


def refusal(failure) -> JsonResponse:
    """As JSON."""
    return come_again(JsonResponse(told(failure), status=status_of(failure)), failure)
