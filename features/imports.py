"""How does an import that a browser asked for come about? A row, a message to a worker, and the row's end."""

import logging
from datetime import timedelta

from django.utils import timezone

from . import incoming, jobs, services
from .folders import inside
from .models import Import

log = logging.getLogger(__name__)

TASK = "features.import_sae"
GELU1L = "the real GELU-1L, from the hub"  # stands for a path: no browser can ask for one that is not absolute
State = Import.State
SILENT_AFTER = timedelta(minutes=15)  # a step may be the loading of a large model


def request_import(asked: incoming.Asked, user=None) -> Import:
    """Queue an import that has nothing left to ask. Raises as `incoming.plan`, and Outside for other folders.

    The weights are read by a worker; here only headers and configs are.
    """
    inside(asked.path)
    incoming.plan(asked)
    row = Import.objects.create(path=asked.path, asked=asked.to_dict(), requested_by=user)
    row.note = "" if jobs.send(TASK, row.pk) else "The queue cannot be reached now; ask again when a worker is back."
    return row


def request_gelu1l(user=None) -> Import:
    """Queue the import of the real GELU-1L; the one at work, if there is any."""
    row = Import.objects.filter(path=GELU1L, state__in=(State.QUEUED, State.RUNNING)).first()
    row = row or Import.objects.create(path=GELU1L, requested_by=user)
    row.note = "" if jobs.send(TASK, row.pk) else "The queue cannot be reached now; ask again when a worker is back."
    return row


def run_import(import_id: int) -> None:
    """Carry out a queued import and say in its row how it ended. Any other is left alone."""
    mine = Import.objects.filter(pk=import_id)
    if not mine.filter(state=State.QUEUED).update(state=State.RUNNING, heard=timezone.now()):
        return
    row = mine.get()
    try:
        sae = _carry_out(row, lambda step: mine.update(step=step, heard=timezone.now()))
    except Exception as error:  # whatever a file, a model or a library does: the row says it
        log.exception("Import %s failed", import_id)
        mine.update(state=State.FAILED, error=services.sentence(error), heard=timezone.now())
    else:
        mine.update(state=State.DONE, step="", sae=sae, heard=timezone.now())


def _carry_out(row: Import, say):
    if row.path == GELU1L:
        from . import gelu1l

        saes, tokens = gelu1l.bring(say=say), None
    else:
        asked = incoming.Asked(**row.asked)
        inside(asked.path)  # once more: a link may lead elsewhere by now
        saes, tokens = [incoming.carry_out(incoming.plan(asked), say)], asked.tokens
    for sae in saes:
        incoming.request_figures(sae, tokens, user=row.requested_by)
    return saes[0]


def end_silent_imports() -> None:
    """Those whose worker is gone say so, instead of running for ever. Nothing of theirs was written."""
    gone = Import.objects.filter(state=State.RUNNING, heard__lt=timezone.now() - SILENT_AFTER)
    gone.update(state=State.FAILED, error="Its worker went away: it was stopped, or ran out of memory. Ask again.")
