"""Which SAEs are loaded in this process, and whose turn is it to run one?

A load happens in a thread of its own, once, however many requests wait for it; a failed one is kept to be
shown and tried again by the next request. At most SAEVIZ_LOADED_SUBJECTS stay in memory, the latest used.
A model's forward is not thread-safe while hooks hang on it, so each runs behind a lock. Torch is imported by
the loading thread: a process that is never asked about a prompt never sees it.
"""

import logging
import threading
import time
from collections import OrderedDict
from contextlib import contextmanager

from django.conf import settings

from .storage.files import complaints
from .storage.readers import subject_of

log = logging.getLogger(__name__)

PLACES = 12  # prompts that wait for a model or are with it: fewer than the server's threads, so that pages have some
KEPT_TOKENS = 2048  # of analysed prompts per SAE: each keeps its activations and logits


class Unavailable(Exception):
    """The model or the SAE could not be loaded; the message says why."""


class Busy(Unavailable):
    """More prompts wait for a model already than the site holds places for."""

    retry_after = 3  # seconds


class StillLoading(Exception):
    """The load goes on longer than the caller wanted to wait."""


class _Slot:
    """One SAE's slot in memory: loading, then ready or failed."""

    def __init__(self):
        self.state, self.subject, self.error = "loading", None, ""
        self.began, self.took = time.monotonic(), None
        self.finished = threading.Event()
        self.lock = threading.RLock()  # around forwards, and around `prompts`
        self.prompts = OrderedDict()  # ids -> analysed prompt, latest used last

    @property
    def seconds(self):
        return time.monotonic() - self.began if self.took is None else self.took

    def finish_load(self, state, subject=None, error=""):
        self.took = time.monotonic() - self.began
        self.subject, self.error, self.state = subject, error, state
        self.finished.set()


_places = threading.BoundedSemaphore(PLACES)
_slots = OrderedDict()  # SAE.subject_key -> _Slot, latest used last
_guard = threading.Lock()  # around _slots


def state(sae):
    """{"state": "cold" | "loading" | "ready" | "failed", "seconds", "error"}; seconds of the load so far."""
    slot = _slots.get(sae.subject_key)
    if slot is None:
        return {"state": "cold", "seconds": 0.0, "error": ""}
    return {"state": slot.state, "seconds": round(slot.seconds, 2), "error": slot.error}


def states() -> list[str]:
    """Of every SAE that is in memory, or on its way there."""
    with _guard:
        return [slot.state for slot in _slots.values()]


def warm(sae):
    """Begin to load the SAE unless it is loaded or loading; returns at once."""
    return _slot_of(sae)


def warm_up():
    """Load the first SAE of the database in the background: a process calls it when it starts to serve.

    After a fork, not before: threads and torch do not survive one.
    """
    threading.Thread(target=_warm_first, name="warm-up", daemon=True).start()


@contextmanager
def analysed(sae, ids, patience=None):
    """The analysed prompt of these token ids, kept for the next question about it, to work on undisturbed.

    Raises Busy where PLACES prompts are at it or wait; Unavailable, StillLoading.
    """
    if not _places.acquire(blocking=False):
        raise Busy(f"{PLACES} prompts wait for the model already. Ask again in a few seconds.")
    try:
        slot = _loaded(sae, patience)
        with slot.lock:
            yield _prompt(slot, tuple(ids))
    finally:
        _places.release()


@contextmanager
def loaded(sae, patience=None):
    """The SAE's subject, to work on undisturbed: for questions that are not about one prompt."""
    slot = _loaded(sae, patience)
    with slot.lock:
        yield slot.subject


def forget():
    """Drop everything that is loaded."""
    with _guard:
        _slots.clear()


def _slot_of(sae):
    key = sae.subject_key
    with _guard:
        slot = _slots.get(key)
        if slot is None or slot.state == "failed":
            slot = _slots[key] = _Slot()
            threading.Thread(target=_load, args=(slot, sae), name=f"load {sae.slug}", daemon=True).start()
        _slots.move_to_end(key)
        _evict()
    return slot


def _evict():
    """Forget the longest unused; whoever still works on one keeps it until done."""
    while len(_slots) > max(1, settings.SAEVIZ_LOADED_SUBJECTS):
        _slots.popitem(last=False)


def _loaded(sae, patience):
    slot = _slot_of(sae)
    if not slot.finished.wait(patience):
        raise StillLoading
    if slot.state == "failed":
        raise Unavailable(slot.error)
    return slot


def _load(slot, sae):
    try:
        subject = _subject(sae)
        _first_forward(subject)
    except (
        BaseException
    ) as error:  # whatever a file or a library does, panics of Rust too: the site goes on and says so
        log.exception("Cannot load %s", sae.slug)
        slot.finish_load("failed", error=_sentence(sae, error))
    else:
        slot.finish_load("ready", subject)
        log.info("Loaded %s in %.1f s", sae.slug, slot.took)


def _subject(sae):
    for what, _ in complaints(sae):  # a look at the files, told long before torch is imported
        raise OSError(what)
    return subject_of(sae)


def _first_forward(subject):
    """The first forward of a process is slow (kernels, buffers); no reader should wait for it."""
    _analyse(subject, subject.vocabulary.ids("warm", bos=True))


def _analyse(subject, ids):
    from .engine import prompt

    return prompt.analyse(subject, list(ids))


def _prompt(slot, ids):
    if ids not in slot.prompts:
        slot.prompts[ids] = _analyse(slot.subject, ids)
    slot.prompts.move_to_end(ids)
    while len(slot.prompts) > 1 and sum(map(len, slot.prompts)) > KEPT_TOKENS:
        slot.prompts.popitem(last=False)
    return slot.prompts[ids]


def _sentence(sae, error):
    reason = str(error).strip().rstrip(".") or type(error).__name__
    return (
        f"The model or the weights of {sae.slug} could not be loaded: {reason}. "
        "Put the files back and ask again; the stored features can be read meanwhile."
    )


def _warm_first():
    from django.db import DatabaseError, connection

    from .models import SAE

    try:
        sae = SAE.objects.first()
    except DatabaseError as error:  # not migrated yet: there is nothing to warm
        log.warning("No warm-up: %s", error)
        sae = None
    finally:
        connection.close()
    if sae is not None:
        warm(sae)
