"""How does a worker hear that something waits? A message without content; what waits stands in the rows.

Rung when something is asked for, when a stage opens, and by every worker that is woken and finds work: so all that are
idle wake, one after another. A doorbell too many finds nothing to do; for one that is lost, workers look every ten
seconds.
"""

import logging
from contextlib import contextmanager

from celery import current_app
from django.conf import settings
from kombu.exceptions import OperationalError
from kombu.utils.url import maybe_sanitize_url
from redis.exceptions import RedisError, ResponseError

log = logging.getLogger(__name__)

TASK = "features.work"
UNHEARD_AFTER = 60  # seconds; all workers were busy, and look for themselves when they are not


class _Last:
    """Why the last ring was not heard; empty where it was."""

    why = ""


def why_not() -> str:
    """What the queue said against the last message, where it is there and refuses; empty where it is away."""
    return _Last.why


def ring() -> bool:
    """False where the queue is away, or refuses what is written."""
    _Last.why = ""
    try:
        with broker_for_write() as broker:
            current_app.send_task(TASK, connection=broker, retry=False, expires=UNHEARD_AFTER)
    except (OperationalError, RedisError, OSError) as error:
        _Last.why = _refusal(error)
        why = _Last.why or str(error).partition("\n")[0]
        log.warning("The queue at %s cannot be reached: %s", maybe_sanitize_url(settings.REDIS_URL), why)
        return False
    return True


def _refusal(error) -> str:
    """Redis' own sentence, where it answered."""
    while error is not None and not isinstance(error, ResponseError):
        error = error.__cause__
    return str(error or "").split("caused error: ")[-1].split(". ")[0].rstrip(".")


@contextmanager
def client():
    """Redis itself, as a client that gives up in a few seconds."""
    with broker_for_write() as broker:
        yield broker.default_channel.client


@contextmanager
def broker_for_write():
    """A connection that fails in a few seconds; the pool's would try for ever while the broker is away."""
    quick = {"max_retries": 1, "interval_start": 0, "socket_connect_timeout": 2}
    with current_app.connection_for_write(transport_options=quick) as broker:
        yield broker
