"""How do computations reach a worker? The Celery app, and the watch that a worker keeps over silent jobs.

    celery -A saeviz worker

Messages carry the number of a job and nothing else; the Job row in the database is what counts.
"""

import os

from celery import Celery, bootsteps

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "saeviz.settings")

LOOK_EVERY = 10.0  # seconds between two looks for jobs that nobody works on

app = Celery("saeviz")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(
    worker_concurrency=1,  # torch uses every core by itself
    worker_max_tasks_per_child=1,  # a job's memory goes back with its process
    broker_connection_timeout=4,
)
app.autodiscover_tasks()


class Watch(bootsteps.StartStopStep):
    """Looks after jobs from the worker's main process, at its start and then every few seconds."""

    requires = {"celery.worker.components:Timer"}

    def start(self, worker):
        self.timer = worker.timer.call_repeatedly(LOOK_EVERY, self.look)
        worker.timer.call_after(0, self.look)

    def stop(self, worker):
        self.timer.cancel()

    def look(self):
        from features.tasks import watch

        watch()


app.steps["worker"].add(Watch)
