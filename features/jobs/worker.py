"""How is a part of a job computed? By a worker that has claimed it, with the model that it keeps between parts."""

import logging
import threading

from django.conf import settings

from .. import messages
from ..engine.results import Cancelled, Progress
from ..models import Job, JobPart
from ..storage import write
from ..storage.readers import rows_of
from . import artifacts, leases, leftovers, lifecycle, plan

log = logging.getLogger(__name__)

Stage = JobPart.Stage
KEEP = 30.0  # seconds a worker keeps the model for the next part of its job


def run_job(job_id: int, watcher=None) -> None:
    """Do the parts of a job here, one after another, until none is left to begin.

    `watcher(Progress)` hears of every step, beside the row. Only an interruption from outside is raised.
    """
    try:
        while (claim := leases.claim(job_id, watcher)) and run_part(claim) is not None:
            pass
    finally:
        model.drop()


def run_one(job_id: int) -> None:
    """Do one part of a job, for a worker that was sent for it; messages go out for what can be done after it.

    Whoever ends a stage goes on with the next one: nothing stands still because a queue is long or away.
    """
    claim = leases.claim(job_id)
    if claim and claim.first:
        lifecycle.send_for(claim.job, plan.waiting_beside(claim.part))
    while claim and (opened := run_part(claim)):
        lifecycle.send_for(claim.job, opened - 1)
        claim = leases.claim(job_id)
    if not Job.objects.unfinished().filter(pk=job_id).exists():
        model.drop()
    model.drop_later()


def run_part(claim) -> int | None:
    """Do a part and say in the rows how it ended: how many parts can be begun because of it; None: it was given up."""
    try:
        with claim.beating():
            return STAGES[claim.part.stage](claim)
    except leases.LostClaim as lost:
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
            write.take_back_block(job, plan.features_of(job, part.number))
        if isinstance(error, artifacts.FilesMissing):
            artifacts.do_missing_again(job)
        if isinstance(error, messages.BadRequest):  # what was computed fits to nothing that is shown now
            plan.forget(job)
            write.remove_leftovers(job.sae)

    claim.give_up(error and messages.sentence(error, job), undo=undo, **how)


# The stages


def _plan(claim) -> int:
    leftovers.begin_anew(claim.job)
    claim.progress(Progress("loading", 0, 1))
    return claim.finish(plan.plan(claim.job, model.of(claim.job).shards()))


def _shard(claim) -> int:
    def make(loaded, place):
        loaded.shard(claim.part.number, place.parent, claim.progress)

    return _left_in_files(claim, make)


def _merge(claim) -> int:
    def make(loaded, place):
        artifacts.lay_out(claim.job, place.parent)
        loaded.merge(place.parent, claim.progress)

    return _left_in_files(claim, make)


def _choice(claim) -> int:
    """What is shown of a block of features."""
    artifacts.needed(claim.job, Stage.SHARD, Stage.MERGE)
    wanted = plan.features_of(claim.job, claim.part.number)

    def make(loaded, place):
        loaded.choose(wanted, place, _progress(claim, "examples"))

    return _left_in_files(claim, make)


def _effects(claim) -> int:
    """Loss effects of what all features show in the text of a shard."""
    artifacts.needed(claim.job, Stage.SHARD, Stage.MERGE)
    folders = artifacts.needed(claim.job, Stage.CHOICE)

    def make(loaded, place):
        loaded.effects(folders, claim.part.number, place, _progress(claim, "loss effects"))

    return _left_in_files(claim, make)


def _left_in_files(claim, make) -> int:
    """Do a part whose outcome is a folder; it gets its place when all of it is there."""
    with artifacts.attempt(claim) as place:
        name = artifacts.name_of(claim.part)
        make(model.of(claim.job), place / name)
        artifacts.keep(claim, place / name)
    return claim.finish()


def _block(claim) -> int:
    """Features as the engine reads them off the merged shards, as rows that nobody is shown yet."""
    artifacts.needed(claim.job, Stage.SHARD, Stage.MERGE)
    folders, number = artifacts.needed(claim.job, Stage.EFFECTS), claim.part.number
    features = model.of(claim.job).features(
        plan.features_of(claim.job, number), folders, number, _progress(claim, "examples", 0.8)
    )
    write.write_block(claim, *features)
    return claim.finish()


def _progress(claim, phase: str, share: float = 1.0):
    """Tells how far the engine is in this phase, in the unit of the part's stage; `share` of the part is that phase."""
    stage, total = claim.part.get_stage_display(), claim.part.total

    def progress(now):
        done = share * now.done / max(1, now.total) if now.phase == phase else 0
        claim.progress(Progress(stage, int(total * done), total))

    return progress


def _show(claim) -> int:
    write.show(claim)
    artifacts.remove(claim.job)
    return 0


STAGES = {
    Stage.PLAN: _plan,
    Stage.SHARD: _shard,
    Stage.MERGE: _merge,
    Stage.CHOICE: _choice,
    Stage.EFFECTS: _effects,
    Stage.BLOCK: _block,
    Stage.SHOW: _show,
}


# The model


class Loaded:
    """A job's model, SAEs and token rows, and the plan of its shards. Torch comes into the process here."""

    def __init__(self, job: Job):
        from ..engine.collect import shards, shown_entries
        from ..engine.sae.checkpoint import read_sae
        from ..engine.subject import Subject

        sae, b, corpus = job.sae, job.encoder_b, job.corpus or job.sae.corpus
        device = settings.SAEVIZ_DEVICE if job.device == "auto" else job.device
        self.engine, self.shown, self.rows = shards, shown_entries, rows_of(corpus)
        self.subject = Subject.load(
            sae.model_path, sae.path, sae.hook_point, device=device, answers=sae.answers or None
        )
        self.encoder_b = b and read_sae(b.path, answers=b.answers or None).to(self.subject.device)
        self.plan = shards.plan(self.rows, tokens=job.tokens, bos=corpus.bos, special=self.subject.vocabulary.special)
        self._on = (self.subject, self.rows, self.plan)
        self._wanted = {"seed": job.seed, "features": job.features, "encoder_b": self.encoder_b}
        self._folder, self._passing, self._collected = artifacts.folder(job), None, None

    def shards(self) -> list[int]:
        """The counted tokens of each."""
        from ..engine.corpus.token_rows import counted_tokens

        special = self.subject.vocabulary.special
        return [int(counted_tokens(self.rows[slice(*span)], special).sum()) for span in self.plan.spans]

    def shard(self, number, place, progress):
        if self._passing is None:
            self._passing = self.engine.Pass(self.subject, self.plan.bos, self.encoder_b, settings.SAEVIZ_SCREEN)
        self.engine.collect_shard(self._passing, self.rows, self.plan, number, place, progress=progress)

    def merge(self, place, progress):
        self._passing = None  # its copies of the weights are not needed any more
        self.engine.merge(*self._on, place, progress=progress)

    def choose(self, features, place, progress):
        self.shown.write_shown(place, self._merged(progress).choose(features))

    def effects(self, folders, shard, place, progress):
        blocks = self.shown.shown_within(folders, self.plan.spans[shard])
        self.shown.write_effects(place, self._merged(progress).effects_of_blocks(blocks))

    def features(self, features, folders, block, progress):
        """Figures of the SAE, and of its features one after another."""
        collected = self._merged(progress)
        return collected.summary, collected.features(features, self.shown.effects_on(folders, block))

    def _merged(self, progress):
        """What is read off all shards, opened once."""
        self._passing = None
        if self._collected is None:
            self._collected = self.engine.open_collected(*self._on, self._folder, **self._wanted)
        self._collected.tell(progress)
        return self._collected


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
