"""How does work reach a worker? The Celery app, and the watch that a worker keeps over what waits and what is silent.

    celery -A saeviz worker

A message is a doorbell and carries nothing: who hears it does what waits in the rows of the database.
"""

import logging
import os
import sys
from pathlib import Path

from celery import Celery, bootsteps, signals

from . import env

log = logging.getLogger(__name__)

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "saeviz.settings")

if "celery" in Path(sys.argv[0]).parts[-2:]:  # `celery` or `python -m celery`: a wrong setting is one line here too
    try:
        env.check()
    except env.InvalidSetting as error:
        sys.exit(str(error))

LOOK_EVERY = 10.0  # seconds between two looks for work that nobody does
WATCH_EVERY = 1.0  # and for checkpoints that have appeared, which two looks have to find the same

app = Celery("saeviz")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(
    worker_concurrency=1,  # torch uses every core by itself
    worker_max_tasks_per_child=100,  # what is left in memory goes with a process; a task is a turn of a minute
    broker_connection_timeout=4,
)
app.autodiscover_tasks()


@signals.setup_logging.connect
def _log_as_the_site_does(**_):
    """Whoever answers this signal has set logging up: Django did, and Celery's own is left out."""


@signals.worker_process_init.connect
def give_way(**_):
    """The process that computes; the one that looks after it stays as it is."""
    from features.jobs.worker import keep_within

    keep_within()


class WatchFolders(bootsteps.StartStopStep):
    """Looks after work from the worker's main process, at its start and then every few seconds."""

    requires = {"celery.worker.components:Timer"}

    def start(self, worker):
        self.worker = worker
        self.timer = worker.timer.call_repeatedly(LOOK_EVERY, self.look)
        self.run_timer = worker.timer.call_repeatedly(WATCH_EVERY, self.look_at_runs)
        worker.timer.call_after(0, self.begin)
        worker.timer.call_after(0, self.look)

    def stop(self, worker):
        self.timer.cancel()
        self.run_timer.cancel()

    def begin(self):
        from features.tasks import begin

        begin()

    def look(self):
        from celery.worker import state  # not for the site, which rings and never works

        from features.tasks import watch

        busy = len(state.active_requests)
        watch(is_idle=busy < self.worker.concurrency)
        self.beat(busy)

    def beat(self, busy):
        from .observability import workers

        try:
            workers.beat(self.worker.hostname, self.worker.concurrency, busy)
        except Exception as error:  # the queue is away, or refuses: work is found in the database meanwhile
            log.warning("Redis does not hear of this worker: %s", error)

    def look_at_runs(self):
        from features.tasks import look_at_runs

        look_at_runs()


app.steps["worker"].add(WatchFolders)
