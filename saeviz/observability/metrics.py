"""What Prometheus reads: requests counted as they are answered, and the health of everything when it is asked for."""

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily

from . import health

registry = CollectorRegistry()
ProcessCollector(registry=registry)
requests = Counter(
    "saeviz_requests", "Answered requests.", ["route", "method", "status"], registry=registry
)  # exposed as saeviz_requests_total
seconds_taken = Histogram(
    "saeviz_request_seconds",
    "Seconds until an answer was ready.",
    ["route"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10, 30, 60),
    registry=registry,
)
METHODS = {"GET", "HEAD", "POST", "OPTIONS"}


def count(request, status: int, seconds: float) -> None:
    """By the name of the route: addresses are as many as strangers please."""
    match = request.resolver_match
    route = (match.view_name or "other") if match else "static or none"
    requests.labels(route, request.method if request.method in METHODS else "other", str(status)).inc()
    seconds_taken.labels(route).observe(seconds)


class _Health:
    """Gauges of what `health.look` finds."""

    def collect(self):
        found = health.look()
        up = GaugeMetricFamily("saeviz_up", "1: it is there and in order.", labels=["part"])
        for part in ("database", "disk", "queue", "workers"):
            up.add_metric([part], float(found[part]["ok"]))
        yield up
        if "work" in found["database"]:
            yield from self._work(found["database"]["work"])
        yield from self._workers(found["workers"])
        yield GaugeMetricFamily("saeviz_disk_free_bytes", "Free where DATA_DIR is.", found["disk"]["free"])
        models = GaugeMetricFamily("saeviz_models", "SAEs with their models in the site's memory.", labels=["state"])
        for state, number in found["models"].items():
            models.add_metric([state], number)
        yield models
        memory = GaugeMetricFamily("saeviz_memory_bytes", "Memory of the site's process.", labels=["where"])
        for where, amount in found["memory"].items():
            memory.add_metric([where], amount)
        yield memory

    def _work(self, work):
        waits = GaugeMetricFamily("saeviz_work", "Unfinished pieces of work.", labels=["kind", "state"])
        longest = GaugeMetricFamily("saeviz_longest_wait_seconds", "Of work that nobody has begun.", labels=["kind"])
        for kind, of_kind in work.items():
            waits.add_metric([kind, "queued"], of_kind["queued"])
            waits.add_metric([kind, "running"], of_kind["running"])
            longest.add_metric([kind], of_kind["longest_wait"])
        yield waits
        yield longest

    def _workers(self, workers):
        yield GaugeMetricFamily("saeviz_workers", "Workers heard of lately.", workers.get("count", 0))
        yield GaugeMetricFamily("saeviz_worker_processes", "Their processes.", workers.get("processes", 0))
        yield GaugeMetricFamily("saeviz_workers_busy", "Of those, how many compute.", workers.get("busy", 0))
        yield GaugeMetricFamily("saeviz_workers_memory_bytes", "Memory of all of them.", workers.get("resident", 0))


registry.register(_Health())


def text() -> bytes:
    """In Prometheus' text format, version 0.0.4."""
    return generate_latest(registry)
