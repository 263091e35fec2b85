"""Which SAEs are loaded in this process, and whose turn is it to run one?

A load happens in a thread of its own, once, however many requests wait for it; a failed one is kept to be
shown and tried again by the next request. At most SAEVIZ_LOADED_SUBJECTS stay in memory, the latest used.
A model's forward is not thread-safe while hooks hang on it, so who asks stands in line for it, and hears the place.
All who are with a model, in a line or wait for a load together are PLACES at most, whatever they ask. Torch is
imported by the loading thread: a process that is never asked about a prompt never sees it.
"""

import logging
import threading
import time
from collections import OrderedDict
from contextlib import ExitStack, contextmanager

from django.conf import settings

from .storage.files import complaints
from .storage.readers import subject_of
from .turns import Busy, WaitingLine

log = logging.getLogger(__name__)

PLACES = 12  # questions that wait for a model or are with it: fewer than the server's threads for questions
LONGEST = 60.0  # seconds that a question waits for a load, and then for its turn, where it does not say how long
KEPT_TOKENS = 2048  # of analysed prompts per SAE: each keeps its activations and logits


class Unavailable(Exception):
    """The model or the SAE could not be loaded; the message says why."""


class NotYet(Exception):
    """The load, or the others in line, take longer than the caller wanted to wait."""


class _Slot:
    """One SAE's slot in memory: loading, then ready or failed."""

    def __init__(self):
        self.state, self.subject, self.error = "loading", None, ""
        self.began, self.took = time.monotonic(), None
        self.finished = threading.Event()
        self.line = WaitingLine(PLACES)  # for forwards, and for `prompts`
        self.prompts = OrderedDict()  # ids -> analysed prompt, latest used last

    @property
    def seconds(self):
        return time.monotonic() - self.began if self.took is None else self.took

    def finish_load(self, state, subject=None, error=""):
        self.took = time.monotonic() - self.began
        self.subject, self.error, self.state = subject, error, state
        self.finished.set()


_places = threading.BoundedSemaphore(PLACES)
_here = threading.local()  # whether this thread has one of them
_slots = OrderedDict()  # SAE.subject_key -> _Slot, latest used last
_guard = threading.Lock()  # around _slots


def state(sae, ticket: str = "") -> dict:
    """{"state": "cold" | "loading" | "ready" | "failed", "seconds", "error", "waiting", "place"}: seconds of the load
    so far, how many wait for their turn, and the place of the question that came with this ticket (1: next)."""
    slot = _slots.get(sae.subject_key)
    if slot is None:
        return {"state": "cold", "seconds": 0.0, "error": "", "waiting": 0, "place": None}
    queue = {"waiting": slot.line.waiting, "place": slot.line.place_of(ticket)}
    return {"state": slot.state, "seconds": round(slot.seconds, 2), "error": slot.error, **queue}


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
def analysed(sae, ids, patience=None, ticket=""):
    """The analysed prompt of these token ids, kept for the next question about it, to work on undisturbed.

    Raises Busy where PLACES questions are at it or wait, or it took LONGEST; Unavailable; with a patience (seconds),
    NotYet.
    """
    with _turn(sae, patience, ticket) as slot:
        yield _prompt(slot, tuple(ids))


@contextmanager
def loaded(sae, patience=None, ticket=""):
    """The SAE's subject, to work on undisturbed, for questions that are not about one prompt. Raises as `analysed`."""
    with _turn(sae, patience, ticket) as slot:
        yield slot.subject


@contextmanager
def place():
    """One of the PLACES, kept over several turns. A thread that has one keeps it. Raises Busy."""
    if getattr(_here, "has_place", False):
        yield
        return
    if not _places.acquire(blocking=False):
        raise Busy(f"{PLACES} questions wait for the model already. Ask again in a few seconds.", _until_free())
    _here.has_place = True
    try:
        yield
    finally:
        _here.has_place = False
        _places.release()


@contextmanager
def _turn(sae, patience, ticket):
    with place(), ExitStack() as until_done:
        slot = _loaded(sae, patience)
        try:
            until_done.enter_context(slot.line.turn(ticket, LONGEST if patience is None else patience))
        except Busy as busy:
            raise busy if patience is None else NotYet from busy
        yield slot


def _until_free() -> float:
    """Seconds until all who have a place now are done, about."""
    with _guard:
        return PLACES * max((slot.line.seconds for slot in _slots.values()), default=0.0) or 3.0


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
    if not slot.finished.wait(LONGEST if patience is None else patience):
        if patience is not None:
            raise NotYet
        raise Busy(f"The model is still being loaded, {slot.seconds:.0f} s so far. Ask again in a few seconds.")
    if slot.state == "failed":
        raise Unavailable(slot.error)
    return slot


def _load(slot, sae):
    try:
        subject = _subject(sae)
        _first_forward(subject)
    except BaseException as error:
        # Whatever a file or a library does, panics of Rust too: the site goes on and says so.
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
