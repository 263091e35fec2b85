"""How do computations reach a worker? The Celery app, and the watch that a worker keeps over silent jobs.

    celery -A saeviz worker

Messages carry the number of a job and nothing else; who gets one does the next part that waits. The rows in the
database are what counts.
"""

import os

from celery import Celery, bootsteps

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "saeviz.settings")

LOOK_EVERY = 10.0  # seconds between two looks for jobs that nobody works on

app = Celery("saeviz")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(
    worker_concurrency=1,  # torch uses every core by itself
    worker_max_tasks_per_child=100,  # the parts of a job share a loaded model; what else was left goes with a process
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
