"""How is a part of a job computed? By a worker that has claimed it, with the model that it keeps between parts."""

import logging
import threading

from django.conf import settings

from . import claims, jobs, parts, services, shares
from .engine.results import Cancelled, Progress
from .models import Job, JobPart
from .vocabularies import rows_of

log = logging.getLogger(__name__)

Stage = JobPart.Stage
KEEP = 30.0  # seconds a worker keeps the model for the next part of its job
WITHIN_BLOCK = {"examples": (0, 0.3), "loss effects": (0.3, 0.9), "features": (0.9, 1)}  # shares of a block's time


def run_job(job_id: int, watcher=None) -> None:
    """Do the parts of a job here, one after another, until none is left to begin.

    `watcher(Progress)` hears of every step, beside the row. Only an interruption from outside is raised.
    """
    try:
        while (claim := claims.claim(job_id, watcher)) and run_part(claim) is not None:
            pass
    finally:
        model.drop()


def run_one(job_id: int) -> None:
    """Do one part of a job, for a worker that was sent for it; messages go out for what can be done after it.

    Whoever ends a stage goes on with the next one: nothing stands still because a queue is long or away.
    """
    claim = claims.claim(job_id)
    if claim and claim.first:
        jobs.send_for(claim.job, parts.waiting_beside(claim.part))
    while claim and (opened := run_part(claim)):
        jobs.send_for(claim.job, opened - 1)
        claim = claims.claim(job_id)
    if not Job.objects.unfinished().filter(pk=job_id).exists():
        model.drop()
    model.drop_later()


def run_part(claim) -> int | None:
    """Do a part and say in the rows how it ended: how many parts can be begun because of it; None: it was given up."""
    try:
        with claim.beating():
            return STAGES[claim.part.stage](claim)
    except claims.LostClaim as lost:
        log.info("%s", lost)
        _give_up(claim)
    except (Cancelled, KeyboardInterrupt) as end:
        _give_up(claim, cancel=True)
        if not isinstance(end, Cancelled):
            raise
    except Exception as error:  # whatever a file, a model or a driver does: the row says it
        log.exception("Job %s failed in the part '%s'", claim.job.pk, claim.part)
        _give_up(claim, error)
    return None


def _give_up(claim, error=None, **how):
    job, part = claim.job, claim.part

    def undo():
        if part.stage == Stage.BLOCK:
            services.take_back_block(job, parts.features_of(job, part.number))
        if isinstance(error, shares.FilesMissing):
            shares.do_missing_again(job)
        if isinstance(error, services.BadRequest):  # what was computed fits to nothing that is shown now
            parts.forget(job)
            services.remove_leftovers(job.sae)

    claim.give_up(error and services.sentence(error, job), undo=undo, **how)


# The stages


def _plan(claim) -> int:
    services.begin_anew(claim.job)
    claim.progress(Progress("loading", 0, 1))
    return claim.finish(parts.plan(claim.job, model.of(claim.job).shards()))


def _shard(claim) -> int:
    name = shares.name_of(claim.part)
    with shares.attempt(claim) as place:
        model.of(claim.job).shard(claim.part.number, place, claim.progress)
        shares.keep(claim, place / name)
    return claim.finish()


def _merge(claim) -> int:
    with shares.attempt(claim) as place:
        shares.lay_out(claim.job, place)
        model.of(claim.job).merge(place, claim.progress)
        shares.keep(claim, place / shares.MERGED)
    return claim.finish()


def _block(claim) -> int:
    """Features as the engine reads them off the merged shards, as rows that nobody is shown yet."""
    wanted = parts.features_of(claim.job, claim.part.number)
    shares.needed(claim.job, (Stage.SHARD, Stage.MERGE))

    def progress(now):
        start, end = WITHIN_BLOCK.get(now.phase, (0, 0))
        share = start + (end - start) * min(1, now.done / max(1, now.total))
        claim.progress(Progress(Stage.BLOCK.label, int(len(wanted) * share), len(wanted)))

    collected = model.of(claim.job).collected(shares.folder(claim.job), progress)
    services.write_block(
        claim,
        collected.summary,
        collected.features(wanted),
        lambda done: progress(Progress("features", done, len(wanted))),
    )
    return claim.finish()


def _show(claim) -> int:
    services.show(claim)
    shares.remove(claim.job)
    return 0


STAGES = {Stage.PLAN: _plan, Stage.SHARD: _shard, Stage.MERGE: _merge, Stage.BLOCK: _block, Stage.SHOW: _show}


# The model


class Loaded:
    """A job's model, SAEs and token rows, and the plan of its shards. Torch comes into the process here."""

    def __init__(self, job: Job):
        from .engine import shards
        from .engine.formats import read_sae
        from .engine.subject import Subject

        sae, b, corpus = job.sae, job.encoder_b, job.corpus or job.sae.corpus
        device = settings.SAEVIZ_DEVICE if job.device == "auto" else job.device
        self.engine, self.seed, self.rows = shards, job.seed, rows_of(corpus)
        self.subject = Subject.load(
            sae.model_path, sae.path, sae.hook_point, device=device, answers=sae.answers or None
        )
        self.encoder_b = b and read_sae(b.path, answers=b.answers or None).to(self.subject.device)
        self.plan = shards.plan(
            self.rows, tokens=job.tokens, bos=corpus.bos, special=self.subject.vocabulary.special
        )
        self._on = (self.subject, self.rows, self.plan)

    def shards(self) -> list[int]:
        """The counted tokens of each."""
        from .engine.corpus import counted_tokens

        special = self.subject.vocabulary.special
        return [int(counted_tokens(self.rows[slice(*span)], special).sum()) for span in self.plan.spans]

    def shard(self, number, place, progress):
        self.engine.collect_shard(
            *self._on, number, place, encoder_b=self.encoder_b, screen=settings.SAEVIZ_SCREEN, progress=progress
        )

    def merge(self, place, progress):
        self.engine.merge(*self._on, place, progress=progress)

    def collected(self, place, progress):
        return self.engine.open_collected(
            *self._on, place, seed=self.seed, encoder_b=self.encoder_b, progress=progress
        )


class Kept:
    """The one model a worker keeps: loading it anew for each part would cost more than small parts do."""

    def __init__(self):
        self.key = self.loaded = self.timer = None
        self.lock = threading.Lock()

    def of(self, job: Job) -> Loaded:
        with self.lock:
            self._stop()
            if self.key != (job.pk, job.inputs):
                self.key = self.loaded = None  # the old one goes before the new one comes
                self.loaded = Loaded(job)
                self.key = job.pk, job.inputs
            return self.loaded

    def drop(self):
        with self.lock:
            self._stop()
            self.key = self.loaded = None

    def drop_later(self):
        """Unless another part of the same job comes first."""
        with self.lock:
            self._stop()
            if self.loaded:
                self.timer = threading.Timer(KEEP, self.drop)
                self.timer.daemon = True
                self.timer.start()

    def _stop(self):
        if self.timer:
            self.timer.cancel()
            self.timer = None


model = Kept()
