"""Into which parts is a job cut, which comes next, and how far are they together?

Planned, a job has one part for each shard of its tokens and one that merges them; then one for each block of its
features that chooses examples, one for each shard that computes loss effects there, one for each block that works out
the features, and one that shows the result. A stage begins when the one before it is done; who does which part does
not matter. Where readers see nothing of these weights yet, one part more shows quick results, the same figures on the
first tokens alone: it is begun first, and nothing waits for it.
"""

import hashlib
import json
from functools import cache
from pathlib import Path

from django.conf import settings
from django.db.models import F, Sum
from django.utils import timezone

from ..models import Job, JobPart
from ..storage.write import wants_quick_results

FEATURES_A_BLOCK = 2048  # some seconds of work: enough parts for several workers, few rows to write again
ENGINE = Path(__file__).parents[1] / "engine"

Stage, State = JobPart.Stage, JobPart.State


# Cut


def plan(job: Job, shards: list[int]) -> list[JobPart]:
    """All parts after the first. `shards`: the counted tokens of each."""
    blocks = [len(features_of(job, number)) for number in range(-(-len(_wanted(job)) // FEATURES_A_BLOCK))]
    sizes = {
        Stage.SHARD: shards,
        Stage.MERGE: [sum(shards)],
        Stage.CHOICE: blocks,
        Stage.EFFECTS: shards,
        Stage.BLOCK: blocks,
        Stage.SHOW: [1],
        Stage.QUICK: [settings.SAEVIZ_QUICK_TOKENS] * has_quick_results(job),
    }
    return [
        JobPart(job=job, stage=stage, number=number, total=total)
        for stage, totals in sizes.items()
        for number, total in enumerate(totals)
    ]


def has_quick_results(job: Job) -> bool:
    """Whether the first tokens are worth a look of their own: of all features, on few of many tokens."""
    few, shown = job.tokens >= 2 * settings.SAEVIZ_QUICK_TOKENS, job.sae.statistics
    if shown and shown.quick and shown.completed and shown.health:
        return False  # a checkpoint's first pages say as much already
    return job.features is None and few and wants_quick_results(job.sae)


def features_of(job: Job, block: int):
    """The features of a block, ascending."""
    return _wanted(job)[block * FEATURES_A_BLOCK : (block + 1) * FEATURES_A_BLOCK]


def _wanted(job):
    return range(job.sae.d_sae) if job.features is None else job.features


def inputs_of(job: Job) -> str:
    """Changes when the finished parts of a job are of no use any more: other files, other text, another engine."""
    corpus = job.corpus or job.sae.corpus
    b = job.encoder_b and job.encoder_b.subject_key
    begin = corpus.first if corpus.skipped else corpus.bos
    inputs = [job.sae.subject_key, b, corpus.sha256, begin, job.tokens, job.seed, job.features, job.loss_rows]
    return hashlib.sha256(json.dumps([*inputs, FEATURES_A_BLOCK, _engine()]).encode()).hexdigest()


@cache
def _engine() -> str:
    sources = sorted(ENGINE.rglob("*.py"))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()


# Done


def first_waiting(job: Job) -> JobPart | None:
    """The next part that somebody can do. Only while the job's row is locked; a new job gets its first part here."""
    if not _fits(job):
        return None
    if quick := job.parts.quick().waiting().first():
        return quick
    stage = job.parts.unfinished().in_order().values_list("stage", flat=True).order_by("stage").first()
    return job.parts.waiting().filter(stage=stage).order_by("number").first()


def _fits(job) -> bool:
    """What was done of the same work before is kept; otherwise the job begins anew, once nobody works on it: workers of
    another version may, and would not have cut it as this one does."""
    inputs = inputs_of(job)
    if job.inputs != inputs:
        if job.parts.running().exists():
            return False
        forget(job)
        Job.objects.filter(pk=job.pk).update(inputs=inputs)
    if not job.parts.exists():
        JobPart.objects.create(job=job, stage=Stage.PLAN, total=1)
    return True


def forget(job: Job) -> None:
    """Nothing of the job is done. Its rows in hidden statistics and its files are left to who looks for leftovers."""
    job.parts.all().delete()
    job.files.all().delete()
    Job.objects.filter(pk=job.pk).update(result=None, inputs="")


def opened_by(part: JobPart) -> int:
    """How many parts can be begun now that this one is done: those of the next stage, when it was the last of its;
    after the planning a quick look too."""
    if part.stage == Stage.QUICK:
        return 0
    unfinished = JobPart.objects.filter(job=part.job_id).unfinished()
    if unfinished.filter(stage=part.stage).exists():
        return 0
    following = [part.stage + 1] + [Stage.QUICK] * (part.stage == Stage.PLAN)
    return unfinished.filter(stage__in=following).count()


# How far


def of_others(part: JobPart) -> tuple[int, int]:
    """(done, total) of the other parts of the same stage."""
    others = JobPart.objects.filter(job=part.job_id, stage=part.stage).exclude(pk=part.pk)
    sums = others.aggregate(done=Sum("done"), total=Sum("total"))
    return sums["done"] or 0, sums["total"] or 0


def write_progress(job_id: int, phase: str, done: int, total: int) -> None:
    """Write into the job's row how far its phase is, and how fast it went since it began or was taken up again."""
    now, mine = timezone.now(), Job.objects.filter(pk=job_id, state=Job.State.RUNNING)
    how_far = {"heartbeat": now, "phase": phase, "done": done, "total": total}
    if mine.exclude(phase=phase, phase_began__isnull=False).update(**how_far, rate=0, phase_began=now, phase_from=done):
        return
    began, start = Job.objects.values_list("phase_began", "phase_from").get(pk=job_id)
    seconds = (now - began).total_seconds() if began else 0
    mine.update(**how_far, rate=max(0, done - start) / seconds if seconds > 0 else 0)


def whole(part: JobPart) -> dict:
    """What changes in the row of a part that is done."""
    return {"state": State.DONE, "done": F("total"), "heartbeat": timezone.now()}
