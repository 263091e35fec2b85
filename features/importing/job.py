"""How does an import that a browser asked for come about? A row, a message to a worker, and the row's end.

The rows it makes and the end of its own row are one transaction: what was cancelled or lost meanwhile has made none.
"""

import logging
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from .. import messages
from ..engine.results import Cancelled
from ..jobs import lifecycle
from ..models import SAE, Import
from . import plan
from .folders import inside

log = logging.getLogger(__name__)

TASK = "features.import_sae"
GELU1L = "the real GELU-1L, from the hub"  # stands for a path: no browser can ask for one that is not absolute
State = Import.State
SILENT_AFTER = timedelta(minutes=15)  # a step may be the loading of a large model
STOPS_WITHIN = timedelta(minutes=1)  # after that, nobody waits for a worker that was told to stop
SENT_AGAIN_AFTER = timedelta(seconds=20)  # a queued import's message has to arrive; then twice as long, and so on
UNREACHABLE = "The queue cannot be reached now; the import waits and starts as soon as a worker is back."
STOPPED = "Nothing was imported. What was downloaded is kept, and gone on with next time."


def request_import(asked: plan.Asked, user=None) -> Import:
    """Queue an import that has nothing left to ask. Raises as `incoming.plan`, and Outside for other folders.

    The weights are read by a worker; here only headers and configs are.
    """
    inside(asked.path)
    plan.plan(asked)
    return _sent(Import.objects.create(path=asked.path, asked=asked.to_dict(), requested_by=user))


def request_gelu1l(user=None) -> Import:
    """Queue the import of the real GELU-1L; the one at work, if there is any."""
    at_work = Import.objects.filter(path=GELU1L, state__in=Import.UNFINISHED, cancel_requested=False).first()
    return _sent(at_work or Import.objects.create(path=GELU1L, requested_by=user))


def _sent(row: Import) -> Import:
    row.note = "" if lifecycle.send(TASK, row.pk) else UNREACHABLE
    return row


class Report:
    """How a running import tells where it is; where it hears that it is to stop, it raises Cancelled."""

    def __init__(self, import_id: int):
        self.mine = Import.objects.filter(pk=import_id, state=State.RUNNING)

    def step(self, sentence: str):
        self._write(step=sentence[:300], done=0, total=0, rate=0)

    def received(self, file):
        """Of a download: `DownloadProgress`."""
        self._write(step=file.name[:300], done=file.done, total=file.total, rate=file.rate)

    def done(self, sae: SAE):
        self._write(state=State.DONE, step="", done=0, total=0, rate=0, sae=sae)

    def ended(self, state, error: str):
        self.mine.update(state=state, error=error, heard=timezone.now())

    def _write(self, **how_far):
        if not self.mine.filter(cancel_requested=False).update(heard=timezone.now(), **how_far):
            raise Cancelled


def run_import(import_id: int, prepare_gelu1l=None) -> None:
    """Carry out a queued import and say in its row how it ended. Any other is left alone.

    `prepare_gelu1l(say, progress)` downloads the real GELU-1L and returns what registers it.
    """
    row = Import.objects.filter(pk=import_id, state=State.QUEUED)
    if not row.update(state=State.RUNNING, heard=timezone.now()):
        return
    report = Report(import_id)
    try:
        _carry_out(report.mine.get(), report, prepare_gelu1l)
    except Cancelled:
        report.ended(State.CANCELLED, STOPPED)
    except Exception as error:  # whatever a file, a model or a library does: the row says it
        log.exception("Import %s failed", import_id)
        report.ended(State.FAILED, messages.sentence(error))


def _carry_out(row: Import, report: Report, prepare_gelu1l):
    asked = None if row.path == GELU1L else plan.Asked(**row.asked)
    register = _prepared(asked, report, prepare_gelu1l)
    with transaction.atomic():
        saes = register()
        for sae in saes:
            plan.request_figures(sae, asked and asked.tokens, user=row.requested_by)
        report.done(saes[0])


def _prepared(asked: plan.Asked | None, report: Report, prepare_gelu1l):
    """All that takes long; what it gives back writes the rows."""
    if asked is None:
        return prepare_gelu1l(say=report.step, progress=report.received).register
    inside(asked.path)  # once more: a link may lead elsewhere by now
    checked = plan.check(plan.plan(asked), report.step)
    return lambda: [checked.register()]


def cancel(row: Import) -> Import:
    """A queued import ends at once, a running one between two steps or blocks of a file; an ended one stays so."""
    if not Import.objects.filter(pk=row.pk, state=State.QUEUED).update(state=State.CANCELLED, error=STOPPED):
        Import.objects.filter(pk=row.pk, state=State.RUNNING).update(cancel_requested=True)
    row.refresh_from_db()
    return row


def retry(row: Import) -> Import:
    """An import that failed or was cancelled is queued again, and goes on with what was downloaded. Others stay so."""
    ended = Import.objects.filter(pk=row.pk, state__in=(State.FAILED, State.CANCELLED))
    fresh = {"error": "", "step": "", "cancel_requested": False, "done": 0, "total": 0, "rate": 0}
    if ended.update(state=State.QUEUED, heard=timezone.now(), **fresh):
        lifecycle.send(TASK, row.pk)
    row.refresh_from_db()
    return row


def look_after() -> None:
    """End imports whose worker is gone, send again what the queue has lost. A message too many does no harm."""
    end_silent_imports()
    now = timezone.now()
    for row in Import.objects.filter(state=State.QUEUED):
        waited = row.heard - row.created
        if now - row.heard >= max(SENT_AGAIN_AFTER, waited) and lifecycle.send(TASK, row.pk):
            Import.objects.filter(pk=row.pk, state=State.QUEUED).update(heard=now)


def end_silent_imports() -> None:
    """Those whose worker is gone say so, instead of running for ever. Nothing of theirs was written."""
    running, now = Import.objects.filter(state=State.RUNNING), timezone.now()
    told = running.filter(cancel_requested=True, heard__lt=now - STOPS_WITHIN)
    told.update(state=State.CANCELLED, error=STOPPED)
    gone = running.filter(heard__lt=now - SILENT_AFTER)
    gone.update(state=State.FAILED, error="Its worker went away: it was stopped, or ran out of memory. Ask again.")
