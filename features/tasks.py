"""What does a worker do, and who looks after it? One task, which is a doorbell; what it finds stands in rows."""

import logging
from functools import cache

from celery import shared_task
from django.db import DatabaseError, connections

from .analysis import steps
from .autointerp import job as autointerp
from .grading import controls
from .importing import job
from .jobs import artifacts, doorbell, leases, leftovers, lifecycle, verification, worker
from .models import Analysis, AutoInterp, Checkpoint, Comparison, DecoderMap, GradingDraw, Import, Job, Verification
from .overview import maps
from .patterns import claims
from .runs import quick_pass
from .runs.beside import dictionaries
from .runs.intake import watching
from .storage import example_tokens, kept_activations, recognition, relocation, twins
from .storage.catch_up import encoder_columns, move_payloads

log = logging.getLogger(__name__)

BEFORE = ("features.compute", "features.import_sae", "features.verify")  # names in messages of earlier versions


def import_sae(lease):
    from .gelu1l import download  # brings torch

    job.run_import(lease, download.prepare)


KINDS = {  # in this order
    Verification: verification.run_verification,
    Import: import_sae,
    Checkpoint: quick_pass.run_checkpoint,
    Comparison: dictionaries.run_comparison,
    Job: worker.run_part,
    DecoderMap: maps.run_map,
    AutoInterp: autointerp.run_autointerp,
    GradingDraw: controls.run_draw,
    Analysis: steps.run_analysis,
}


def work(*numbers):
    """Do what waits, whatever the number in a message of an earlier version was."""
    _catch_up_once()
    worker.work(KINDS)


@cache
def _catch_up_once():
    """The first thing that a worker does: rows of earlier versions become those of today. What it computes carries
    the hashes of today."""
    catch_ups = relocation.relocate, recognition.recognise_all, move_payloads.move_all, twins.group_all
    for catch_up in (*catch_ups, example_tokens.fill_all, encoder_columns.fill_all, claims.test_untested):
        try:
            catch_up()
        except Exception:  # whatever is wrong with an old row: what waits is done all the same
            log.exception("Rows of earlier versions are left as they are until a worker starts again")


for name in (doorbell.TASK, *BEFORE):
    shared_task(name=name)(work)


def begin():
    """Once, when a worker starts: ring where rows of earlier versions wait."""
    try:
        waiting = recognition.unrecognised(), move_payloads.unmoved(), twins.ungrouped(), example_tokens.unfilled()
        lacking = steps.request_missing() or encoder_columns.unfilled()
        if lacking or any(rows.exists() for rows in waiting) or claims.untested():
            doorbell.ring()
    except DatabaseError:
        log.warning("Cannot look for rows of earlier versions now", exc_info=True)
    finally:
        connections.close_all()


def watch(is_idle: bool):
    """Find what nobody works on, clean up, and ring for what an idle worker could do. A database that is away now is
    asked again next time."""
    try:
        lifecycle.pick_up_silent(*KINDS)
        leftovers.forget_long_ended()
        artifacts.remove_leftovers()
        quick_pass.remove_leftovers()
        kept_activations.remove_leftovers()
        if is_idle:
            dictionaries.request_for_labels()
        if is_idle and leases.something_waits(KINDS):
            doorbell.ring()
    except DatabaseError:
        log.warning("Cannot look after jobs now", exc_info=True)
    finally:
        connections.close_all()  # the worker forks: its children must not inherit a connection


def look_at_runs():
    """Find checkpoints that have appeared in watched folders, and ring for them."""
    try:
        watching.look_at_all()
    except DatabaseError:
        log.warning("Cannot look for checkpoints now", exc_info=True)
    finally:
        connections.close_all()  # as above
