"""How does a worker do what waits? Whatever it is, its row says in the end how it went; a computation, part by part."""

import logging
import os
import resource
import time
from functools import partial

from django.conf import settings

from .. import messages
from ..analysis.steps import request_analysis
from ..engine.foreign_files import is_panic
from ..engine.results import Cancelled, Progress
from ..models import SAE, Job, JobPart
from ..patterns import claims, held
from ..storage import kept_activations, write
from ..storage.findings_file import findings_of
from . import artifacts, doorbell, estimate, leases, leftovers, lifecycle, plan
from .loaded_job import model_cache

log = logging.getLogger(__name__)

Stage = JobPart.Stage
TURN = 60.0  # seconds after which a worker rings for itself and lets go: it may be asked to stop, or be due for renewal


def keep_within() -> None:
    """Hold this process to what the settings leave it, beside a training that comes first: niceness, and memory of its
    own (RLIMIT_DATA; files that are mapped are not counted, nor is a GPU's). Once, before it computes."""
    if settings.SAEVIZ_NICE:
        os.nice(settings.SAEVIZ_NICE)
    if settings.SAEVIZ_MEMORY:
        resource.setrlimit(resource.RLIMIT_DATA, (settings.SAEVIZ_MEMORY, settings.SAEVIZ_MEMORY))


def work(kinds: dict) -> None:
    """Do what waits of these kinds (a model -> what does a lease of it), one after another, until nothing can be begun.

    Nothing stands still because the queue is away: who cannot ring goes on.
    """
    until, woken = time.monotonic() + TURN, True
    while lease := leases.claim_next(kinds):
        if woken:
            doorbell.ring()  # wakes another, if there is one
        do(lease, kinds[type(lease.work)])
        woken = lease.opened > 1
        if time.monotonic() > until and doorbell.ring():
            break
    model_cache.drop_later()


def run_job(job_id: int, watcher=None) -> None:
    """Do the parts of a job here, one after another, until none is left to begin.

    `watcher(Progress)` hears of every step, beside the row. Only an interruption from outside is raised.
    """
    job = Job.objects.get(pk=job_id)
    try:
        while (lease := leases.claim(job, watcher)) and do(lease, run_part):
            pass
    finally:
        model_cache.drop()


def do(lease, run) -> bool:
    """Do a piece of work and say in its row how it ended. False: it was given up."""
    try:
        with lease.beating():
            run(lease)
        return True
    except leases.LeaseLost as lost:
        log.info("%s", lost)
        lease.give_up()
    except (Cancelled, KeyboardInterrupt) as end:
        lease.give_up(cancel=True)
        if not isinstance(end, Cancelled):
            raise
    except artifacts.FilesDamaged as damage:
        return _begin_again(lease, damage)
    except BaseException as error:  # whatever a file, a model or a driver does: the row says it
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        log.exception("%s failed", lease)
        job = getattr(lease, "job", None)
        lease.give_up(messages.sentence(error, job, estimate.disk(job) if job and messages.is_disk_full(error) else 0))
    return False


def _begin_again(lease, damage) -> bool:
    """The parts that left damaged files are done again, and this one after them; the job says so. Not without end."""
    again, times = artifacts.do_again(lease.job), settings.SAEVIZ_ATTEMPTS
    model_cache.drop()  # it has files open that are not those to come
    lasting = next((part for part, _ in again if part.attempts >= times), None)
    if lasting:
        lease.give_up(f"{damage} It was made {lasting.attempts} times; is the disk at fault? Retry.")
        return False
    for part, wrong in again:
        lifecycle.remark(lease.job, f"What the part '{part}' had left was damaged; it is made again. {wrong}")
    JobPart.objects.filter(pk=lease.part.pk).update(attempts=lease.part.attempts - 1)  # it made nothing this time
    lease.give_up()
    return True


def run_part(lease) -> None:
    """Do a part of a computation, or take back what was written of it."""
    peak_began = estimate.begin_peak()
    try:
        STAGES[lease.part.stage](lease)
        if peak_began:
            estimate.note_peak(lease.job)
    except BaseException as error:
        lease.undo = partial(_undo, lease.job, lease.part, error)
        if _may_be_damage(error) and (again := artifacts.damaged(lease.job)):
            raise artifacts.FilesDamaged(again) from error
        raise


def _may_be_damage(error) -> bool:
    """Of files that were looked at before, and changed meanwhile."""
    return isinstance(error, Exception) and not isinstance(error, (Cancelled, messages.BadRequest, artifacts.WRONG))


def _undo(job, part, error):
    if part.stage == Stage.BLOCK:
        write.take_back_block(job, plan.features_of(job, part.number))
    if isinstance(error, artifacts.FilesMissing):
        artifacts.do_again(job)
    if isinstance(error, messages.BadRequest):  # what was computed fits to nothing that is shown now
        plan.forget(job)
        write.remove_leftovers(job.sae)


# The stages


def _plan(lease) -> None:
    leftovers.begin_anew(lease.job)
    lease.progress(Progress("loading", 0, 1))
    lease.finish(plan.plan(lease.job, model_cache.of(lease.job).shard_tokens()))


def _quick(lease) -> None:
    """All figures on the first tokens alone, shown at once: the features that findings name, then all others."""
    job, tokens = lease.job, lease.part.total
    named = {finding.feature for finding in findings_of(job.sae).features}
    first = [index for index in range(job.sae.d_sae) if index in named]

    def progress(now):
        share = {"activations": 0.4, "loss effects": 0.3}.get(now.phase, 0) * now.done / max(1, now.total)
        begun = {"merging": 0.4, "examples": 0.4, "loss effects": 0.5}.get(now.phase, 0)
        lease.progress(Progress("quick results", int(tokens * (begun + share)), tokens))

    with artifacts.attempt(lease) as path:
        figures = model_cache.of(job).quick(tokens, path, progress)
        statistics = write.show_quick(lease, figures.summary, list(figures.features(first)) if first else [])
        if statistics:
            others = [index for index in range(job.sae.d_sae) if index not in named]
            write.add_quick(lease, statistics, figures.features(others))
            write.complete_quick(lease, statistics, model_cache.of(job).quick_summary(figures))
    lease.finish()
    write.remove_leftovers(job.sae)  # of an attempt that was killed


def _shard(lease) -> None:
    def make(loaded, path):
        loaded.shard(lease.part.number, path.parent, lease.progress)

    return _left_in_files(lease, make)


def _merge(lease) -> None:
    def make(loaded, path):
        artifacts.lay_out(lease.job, path.parent)
        loaded.merge(path.parent, lease.progress)

    return _left_in_files(lease, make)


def _choice(lease) -> None:
    """What is shown of a block of features."""
    artifacts.needed(lease.job, Stage.SHARD, Stage.MERGE)
    wanted = plan.features_of(lease.job, lease.part.number)

    def make(loaded, path):
        loaded.choose(wanted, path, _progress(lease, "examples"))

    return _left_in_files(lease, make)


def _effects(lease) -> None:
    """Loss effects of what all features show in the text of a shard."""
    artifacts.needed(lease.job, Stage.SHARD, Stage.MERGE)
    folders = artifacts.needed(lease.job, Stage.CHOICE)

    def make(loaded, path):
        loaded.effects(folders, lease.part.number, path, _progress(lease, "loss effects"))

    return _left_in_files(lease, make)


def _left_in_files(lease, make) -> None:
    """Do a part whose outcome is a folder; it gets its name when all of it is there."""
    with artifacts.attempt(lease) as attempt:
        path = attempt / artifacts.name_of(lease.part)
        make(model_cache.of(lease.job), path)
        artifacts.keep(lease, path)
    lease.finish()


def _block(lease) -> None:
    """Features as the engine reads them off the merged shards, as rows that nobody is shown yet."""
    artifacts.needed(lease.job, Stage.SHARD, Stage.MERGE)
    folders, number = artifacts.needed(lease.job, Stage.EFFECTS), lease.part.number
    features = model_cache.of(lease.job).features(
        plan.features_of(lease.job, number), folders, number, _progress(lease, "examples", 0.8)
    )
    write.write_block(lease, *features)
    lease.finish()


def _progress(lease, phase: str, share: float = 1.0):
    """Tells how far the engine is in this phase, in the unit of the part's stage; `share` of the part is that phase."""
    stage, total = lease.part.get_stage_display(), lease.part.total

    def progress(now):
        done = share * now.done / max(1, now.total) if now.phase == phase else 0
        lease.progress(Progress(stage, int(total * done), total))

    return progress


def _show(lease) -> None:
    job, features = lease.job, lease.job.features
    if features is None:
        kept_activations.keep(lease, partial(artifacts.needed, job, Stage.SHARD))
        result = Job.objects.select_related("result__sae", "result__corpus").get(pk=job.pk).result
        claims.test_claims(result, lease=lease, progress=lease.progress)
    write.show(lease)
    if features is not None:  # what is claimed of them is held against their new figures, among the others
        claims.test_claims(SAE.objects.for_pages().get(pk=job.sae_id).statistics, features)
    held.forget()
    request_analysis(job.sae, "computation")
    kept_activations.remove_leftovers()  # of the statistics that these replace
    artifacts.remove(lease.job)
    model_cache.drop()


STAGES = {
    Stage.QUICK: _quick,
    Stage.PLAN: _plan,
    Stage.SHARD: _shard,
    Stage.MERGE: _merge,
    Stage.CHOICE: _choice,
    Stage.EFFECTS: _effects,
    Stage.BLOCK: _block,
    Stage.SHOW: _show,
}
