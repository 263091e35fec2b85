"""May whoever is not logged in ask the model, or patterns, and how often?"""

from functools import cache

from django.conf import settings
from django.http import HttpRequest
from limits import RateLimitItemPerMinute, storage, strategies

from .callers import is_here, subscriber
from .messages import Refused


def refuse(request: HttpRequest) -> None:
    """Count a question to the model. Raises Refused (403, 429) for strangers who may not ask, or not so often.

    Nobody at this machine is one, unless a proxy brings others from here.
    """
    if _is_known(request):
        return
    if settings.SAEVIZ_PROMPTS == "users":
        raise Refused("Only who is logged in may ask the model here. The stored features are open to everybody.", 403)
    _count(request, settings.SAEVIZ_PROMPT_RATE, "questions to the model")


def refuse_patterns(request: HttpRequest) -> None:
    """Count a pattern that is looked for. Raises Refused (429) for strangers who ask more often than they may."""
    if not _is_known(request):
        _count(request, settings.SAEVIZ_ASK_RATE, "patterns")


def _count(request, most: int, what: str) -> None:
    if not most:
        return
    caller = subscriber(request.META.get("REMOTE_ADDR", ""))
    if not _window().hit(RateLimitItemPerMinute(most, namespace=what), caller):
        raise Refused(
            f"{most:,} {what} a minute are answered to an address; yours has asked them. Wait a minute, or log in.", 429
        )


def _is_known(request) -> bool:
    if request.user.is_authenticated:
        return True
    return is_here(request.META.get("REMOTE_ADDR"), request.headers) and not settings.SAEVIZ_BEHIND_TLS


@cache
def _window():
    """In this process' memory: what is forgotten with it is a minute."""
    return strategies.FixedWindowRateLimiter(storage.MemoryStorage())
