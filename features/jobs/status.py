"""What is said of a piece of work: one JSON and one sentence, for pages, lists and scripts."""

from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from ..models import (
    Analysis,
    AutoInterp,
    Checkpoint,
    Comparison,
    DecoderMap,
    GradingDraw,
    Import,
    Job,
    QueuedWork,
    Statistics,
    Verification,
)
from ..templatetags.formatting import duration

KINDS = {  # as addresses name them
    "job": Job,
    "import": Import,
    "verification": Verification,
    "checkpoint": Checkpoint,
    "comparison": Comparison,
    "analysis": Analysis,
    "decodermap": DecoderMap,
    "autointerp": AutoInterp,
    "gradingdraw": GradingDraw,
}
WORDS = {
    Job: "computation",
    Import: "import",
    Verification: "verification",
    Checkpoint: "checkpoint",
    Comparison: "comparison",
    Analysis: "analysis",
    DecoderMap: "map",
    AutoInterp: "labelling",
    GradingDraw: "drawing of a sample",
}
PHASES = {  # of a computation: what is done, and what is counted
    "loading": ("loading the model", ""),
    "quick results": ("quick results from the first tokens", "tokens"),
    "activations": ("reading activations", "tokens"),
    "merging": ("adding up products of features", "tokens"),
    "examples": ("gathering examples", "features"),
    "loss effects": ("computing loss effects", "tokens"),
    "features": ("working out features", "features"),
    "decoder map": ("laying decoders flat", "steps"),
    # of labels by a language model
    "labelling": ("asking the language model", "questions"),
    # of a drawing: what each control does on the rows drawn
    "neurons": ("reading plain neurons", "rows"),
    "random": ("reading random directions", "rows"),
    # of an analysis
    "descriptions": ("describing features by simple patterns", "features"),
    "token statistics": ("counting tokens and pairs of features", "features"),
    "importance": ("ablating random positives", "activations"),
    "dead features": ("looking how near dead features come", "rows"),
    "writing figures": ("writing figures", "features"),
}
WAITS_AFTER = 10  # seconds in which an idle worker would have taken it
STOPS = "Stops as soon as the step it is in has ended."

State = QueuedWork.State


def to_dict(work: QueuedWork) -> dict:
    """For whom may change it; `can_cancel` and `can_retry` are false for others."""
    return {
        "id": work.pk,
        "kind": WORDS[type(work)],
        "sae": work.sae.slug if work.sae else None,
        "state": work.state,
        "phase": work.phase,
        "done": work.done,
        "total": work.total,
        "share": work.share_done if work.total or isinstance(work, Job) else None,
        "rate": work.rate,
        "seconds_left": work.seconds_left,
        "progress": progress(work),
        "sentence": sentence(work),
        "error": work.error,
        "note": note(work),
        "requested_by": work.requested_by.get_username() if work.requested_by else None,
        "requested_how": work.requested_how,
        "created": work.created,
        "started": work.started,
        "finished": work.finished,
        "can_cancel": work.can_be_cancelled,
        "can_retry": work.can_be_retried,
        "cancel": address(work, "cancel"),
        "retry": address(work, "retry"),
    } | (_of_job(work) if isinstance(work, Job) else {})


def _of_job(job):
    return {
        "parts": Job.objects.with_parts().values("parts_done", "parts_all").get(pk=job.pk),
        "features": None if job.features is None else len(job.features),
        "showing": showing(job.sae),
        "remarks": job.remarks.splitlines(),
    }


def showing(sae) -> str:
    """What readers see of it meanwhile: "nothing", "quick" results, or those of a "complete" computation."""
    quick = Statistics.objects.filter(pk=sae.statistics_id).values_list("quick", flat=True).first()
    return {None: "nothing", True: "quick", False: "complete"}[quick]


def address(work: QueuedWork, what: str) -> str:
    """Of its JSON ("json"), or where it is cancelled or tried again ("cancel", "retry")."""
    return reverse(f"features:{work._meta.model_name}-{what}", args=[work.pk])


def sentence(work: QueuedWork) -> str:
    """How far it is, and what became of it."""
    if work.state not in work.UNFINISHED:
        return f"{work.state}: {work.error}" if work.error else work.state
    stops = STOPS[0].lower() + STOPS[1:-1] if work.cancel_requested else ""
    parts = "; ".join(filter(None, [progress(work), stops]))
    return f"{work.state}: {parts} …" if parts else work.state


def progress(work: QueuedWork) -> str:
    """The phase, how much of it is done, how fast, and the time left; empty before it has begun."""
    phase, unit = PHASES.get(work.phase, (work.phase, ""))
    if not work.total or work.state != State.RUNNING or not phase:
        return phase
    if isinstance(work, Import):
        digits = 0 if work.total >= 1e7 else 1
        counts = f"{work.done / 1e6:,.{digits}f} of {work.total / 1e6:,.{digits}f} MB"
        rate = f"{work.rate / 1e6:.1f} MB/s"
    else:
        counts = f"{work.done:,} of {work.total:,} {unit}".rstrip()
        rate = work.rate and f"{work.rate:{',.0f' if work.rate >= 1 else '.2g'}} per second"
    left = "" if work.seconds_left is None else f"{duration(work.seconds_left)} left"
    return f"{phase}: " + ", ".join(filter(None, [counts, rate, left]))


def note(work: QueuedWork) -> str:
    """What a waiting user should know beyond the state."""
    now = timezone.now()
    quiet = (now - (work.heartbeat or work.created)).total_seconds()
    if work.note:
        return work.note
    if work.state == State.QUEUED and (now - work.created).total_seconds() > WAITS_AFTER:
        return "Waits for a worker."
    if work.state == State.RUNNING and work.cancel_requested:
        return STOPS
    if work.state == State.RUNNING and quiet > settings.SAEVIZ_SILENT_AFTER:
        return f"Not heard from for {quiet:.0f} s; a worker picks it up again."
    return ""
