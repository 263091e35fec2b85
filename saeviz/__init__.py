"""The site: settings, addresses and the queue. Knows every app; no app imports it."""

import os

# A thread that waits for another gives its core away. Spinning, two computing processes on the same cores, such
# as site and worker, slow each other down many times over. OpenMP reads it when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

os.umask(0o077)  # the database, keys and prompts of others: what is written is its owner's alone

from .celery import app as celery_app  # noqa: E402

__all__ = ["celery_app"]
