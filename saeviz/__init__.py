"""The site: settings, addresses and the queue. Knows every app; no app imports it."""

from .celery import app as celery_app

__all__ = ["celery_app"]
