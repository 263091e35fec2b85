"""How large is what is kept? Counted in a thread, one at a time, and remembered: no request reads a disk for it."""

import logging
import threading
import time
from collections.abc import Callable

from django.db import connections

from features.storage.holdings.registry import Measured

from . import kinds

log = logging.getLogger(__name__)

FRESH = 60.0  # seconds for which sizes are taken as they are
PATIENCE = 0.7  # seconds that a page waits: few things are counted at once


class Sizes:
    """What everything takes, by (kind, key), as it was counted last."""

    def __init__(self):
        self.counted_at: float | None = None  # time.time()
        self._known: dict[tuple[str, str], Measured] = {}
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def of(self, kind: str, key: str) -> Measured | None:
        """None where nobody has counted it yet."""
        return self._known.get((kind, key))

    def look(self) -> bool:
        """Have everything counted where that is long ago; whether it is done, after a short while."""
        with self._lock:
            if self.counted_at is not None and time.time() - self.counted_at < FRESH:
                return True
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._count_apart, name="sizes of what is kept", daemon=True)
                self._thread.start()
            thread = self._thread
        thread.join(PATIENCE)
        return not thread.is_alive()

    def count(self) -> None:
        """All kinds, one thing after another; each is known as soon as it is counted."""
        found = set()
        for name, holding in kinds.registered().items():
            for item in holding.items():
                found.add((name, item.key))
                self._known[name, item.key] = item.measure()
        self._known = {key: size for key, size in list(self._known.items()) if key in found}
        self.counted_at = time.time()

    def forget(self, kind: str, key: str) -> None:
        self._known.pop((kind, key), None)
        self.counted_at = None

    def _count_apart(self) -> None:
        try:
            self.count()
        except Exception:  # whatever is wrong with one row or folder: the page says that sizes are not known
            log.exception("What is kept could not be counted")
        finally:
            connections.close_all()


class Removals:
    """What is being removed now, and what went wrong: large sets of rows take minutes, in batches."""

    def __init__(self):
        self._threads: dict[tuple[str, str], threading.Thread] = {}
        self.failed: dict[tuple[str, str], str] = {}

    def is_going(self, kind: str, key: str) -> bool:
        thread = self._threads.get((kind, key))
        return thread is not None and thread.is_alive()

    def begin(self, kind: str, key: str, remove: Callable[[], object]) -> bool:
        """In a thread; whether it is gone already, after a short while."""
        self.failed.pop((kind, key), None)
        thread = threading.Thread(target=self._run, args=(kind, key, remove), name=f"removal of {kind} {key}")
        self._threads[kind, key] = thread
        thread.start()
        thread.join(PATIENCE)
        return not thread.is_alive()

    def _run(self, kind, key, remove) -> None:
        try:
            remove()
            log.info("Removed: %s %s", kind, key)
        except Exception as error:
            self.failed[kind, key] = str(error)
            log.warning("%s %s was not removed", kind, key, exc_info=True)
        finally:
            sizes.forget(kind, key)
            connections.close_all()


sizes = Sizes()
removals = Removals()
