"""What goes to stderr: one record a line, with its level and the request it belongs to, as text or as JSON."""

import json
import logging
import os
import re
from contextvars import ContextVar
from datetime import UTC, datetime

from .. import env

request_id: ContextVar[str] = ContextVar("request_id", default="-")  # of the request that this thread answers
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def configuration() -> dict:
    """For logging.config: everything to stderr, at SAEVIZ_LOG_LEVEL, in SAEVIZ_LOG_FORMAT."""
    level = env.choice("SAEVIZ_LOG_LEVEL") if os.environ.get("SAEVIZ_LOG_LEVEL") else _usual_level()
    name = {"text": "TextLines", "json": "JsonLines"}[env.choice("SAEVIZ_LOG_FORMAT")]
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": f"{__name__}.{name}"}},
        "filters": {"broken": {"()": "django.utils.log.CallbackFilter", "callback": _is_broken}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django": {"handlers": [], "level": "INFO", "propagate": True},  # not Django's own, silent without DEBUG
            # What is not there, or is to be asked for again, is a line of `saeviz.requests` already.
            "django.request": {"level": "ERROR", "filters": ["broken"]},
        },
    }


def _is_broken(record) -> bool:
    """Not that others come first (503): under load that would be most of the log."""
    return getattr(record, "status_code", 500) != 503


def _usual_level() -> str:
    return "INFO" if os.environ.get("VERBOSE") == "1" else env.CHOICES["SAEVIZ_LOG_LEVEL"][0]


class TextLines(logging.Formatter):
    """`2027-01-31 12:00:00,123 ERROR [request] logger: message`, then the traceback, if there is one."""

    def __init__(self):
        super().__init__("%(asctime)s %(levelname)s [%(request_id)s] %(name)s: %(message)s")

    def formatMessage(self, record):  # noqa: N802  (logging's name)
        record.request_id = request_id.get()
        return CONTROLS.sub(_escaped, super().formatMessage(record))  # a stranger's path must not begin a line


class JsonLines(logging.Formatter):
    """An object a line: time, level, logger, request, process, message and, where there is one, traceback."""

    def format(self, record):
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "request": request_id.get(),
            "process": record.process,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=True, default=str)


def _escaped(match) -> str:
    return match.group().encode("unicode_escape").decode()
