"""What will a computation take? Time as those before it took, memory for weights, disk for what stays: estimates, told
before it starts, with what they rest on."""

import shutil
from pathlib import Path

from django.conf import settings
from django.db.models.functions import Greatest

from ..messages import size
from ..models import SAE, Job, KeptActivations
from ..storage import verdicts
from ..templatetags.formatting import duration

ENTRY = 12  # bytes of an active entry where it is kept: by token and by feature
FLOAT32 = 4
ROW = 4_000  # bytes of a feature in the database, about
CLEAR_PEAK, OWN_STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
USUAL_L0 = 64  # where nobody has measured it


def told(sae: SAE, tokens: int, features: list[int] | None = None, k: int | None = None) -> str:
    """Sentences for whoever is about to ask. The SAE may be one that is not imported yet; its files may name `k`."""
    free = _free()
    entries, why = _entries(sae, tokens, k)
    disk = entries * ENTRY
    stays = disk if features is None and disk <= settings.SAEVIZ_KEPT_BYTES else 0
    rows = sae.d_sae * ROW if features is None else 0
    needed = disk + stays + rows
    parts = [
        f"For {tokens:,} tokens",
        f"Time: {time(sae, tokens)}",
        f"Memory: {_memory(sae)}",
        f"Disk: {size(disk)} until it is done ({entries:,} active entries, {why}), {size(stays + rows)} for good; "
        f"{size(free)} are free",
    ]
    if needed > free:
        parts.append("That is too little: free some, or ask for fewer tokens")
    return ". ".join(parts) + "."


def disk(job: Job) -> int:
    """Bytes that a computation takes while it runs, about."""
    return _entries(job.sae, job.tokens)[0] * ENTRY


def time(sae: SAE, tokens: int) -> str:
    """In proportion to the newest computation of all features of this SAE, else of another."""
    done = Job.objects.filter(state=Job.State.DONE, features__isnull=True).exclude(started=None).exclude(finished=None)
    like = done.filter(sae=sae.pk).newest_first().first() or done.select_related("sae").newest_first().first()
    if like is None:
        return "nobody knows before the first computation here"
    took = (like.finished - like.started).total_seconds()
    scale = tokens / like.tokens * (sae.d_in * sae.d_sae) / max(1, like.sae.d_in * like.sae.d_sae)
    whose = f"job {like.pk}" if like.sae_id == sae.pk else f"job {like.pk} of {like.sae.slug}"
    return f"about {duration(max(1, took * scale))}, as {whose} took {duration(took)} for {like.tokens:,}"


def _entries(sae: SAE, tokens: int, k: int | None = None) -> tuple[int, str]:
    """How many (token, feature) pairs are active, and by which measure."""
    kept = (
        KeptActivations.objects.filter(statistics__sae=sae.pk).exclude(entries=0).select_related("statistics").first()
    )
    if kept and kept.statistics.tokens:
        return round(kept.entries / kept.statistics.tokens * tokens), "as many a token as those that are kept"
    l0 = (sae.statistics and sae.statistics.l0) or (sae.self_check or {}).get("l0")
    if l0:
        return round(l0 * tokens), f"{l0:.0f} a token as measured"
    if k:
        return k * tokens, f"{k:,} a token as its files say"
    return USUAL_L0 * tokens, f"{USUAL_L0} a token, which nobody has measured"


def _memory(sae: SAE) -> str:
    """For the SAE as float32, and for the model as its files are."""
    own = (2 * sae.d_in * sae.d_sae + sae.d_in + sae.d_sae) * FLOAT32
    files = verdicts.weight_files(sae.model_path) if sae.model_path else []
    beside = _beside_weights(sae)
    if not files:
        return f"{size(own)} for its weights, beside them its language model's, and {beside}"
    whole = own + sum(file.stat().st_size for file in files)
    return f"{size(whole)} for weights, and {beside}"


def _beside_weights(sae: SAE) -> str:
    """What a worker held at most in a computation before, of this SAE if there is one."""
    measured = Job.objects.filter(state=Job.State.DONE, features__isnull=True, memory__gt=0).newest_first()
    like = measured.filter(sae=sae.pk).first() or measured.select_related("sae").first()
    if like is None:
        return "what a pass takes beside them"
    whose = f"job {like.pk}" if like.sae_id == sae.pk else f"job {like.pk} of {like.sae.slug}"
    weights = "" if like.sae_id == sae.pk else f", whose SAE has {like.sae.d_in:,} x {like.sae.d_sae:,}"
    return f"what a pass takes beside them: a worker held {size(like.memory)} at most in {whose}{weights}"


# Measured while parts are done


def begin_peak() -> bool:
    """From here on this process' peak of memory counts anew; False where the system does not count it."""
    try:
        CLEAR_PEAK.write_text("5")  # proc(5): VmHWM becomes what is held now
        return True
    except OSError:
        return False


def note_peak(job: Job) -> None:
    """What this process held at most since, in the job's row: the largest of its parts stays."""
    line = next((line for line in OWN_STATUS.read_text().splitlines() if line.startswith("VmHWM:")), "VmHWM: 0")
    Job.objects.filter(pk=job.pk).update(memory=Greatest("memory", int(line.split()[1]) * 1024))  # it says kB


def _free() -> int:
    folder = Path(settings.SAEVIZ_SHARDS).absolute()
    return shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists())).free
