"""What goes wrong by itself: processes killed, Redis gone, a disk that is full, files damaged between parts."""

import json
import os
import resource
import signal
import time
from contextlib import suppress
from pathlib import Path

from tests.saeviz.processes import within

from .site import SLUG, Readers, Site

LIMIT = 1 << 16  # bytes that a file may have while the disk is full
LASTS = 400  # seconds that is waited for a computation, twice


def killed(site: Site, seconds: float) -> str:
    """kill -9 of the site's child that reads prompts, of what computes and of who looks after it; a file of a part
    damaged meanwhile. The figures have to be those of before."""
    from features.jobs.requests import request_statistics
    from features.models import SAE

    sae = SAE.objects.for_pages().get(slug=SLUG)
    before, told = figures(sae.statistics), []
    job = request_statistics(sae, tokens=sae.statistics.tokens, how="soak")
    with Readers(site, pause=0.5) as readers:
        told.append(_kill(site, "a prompt's child", site.children_of("site")))
        asked = site.ask(f"/saes/{SLUG}/prompt/?text=after+the+child&token=1&format=json")[0]
        told.append(f"the next prompt {asked}")
        within(LASTS, lambda: _parts_done(job) >= 2 or _state(job) == "failed")
        told.append(_kill(site, "what computes", _computing(site)))
        told.append(_damage(site, job))
        within(120, lambda: _parts_done(job) >= 4 or _state(job) in ("done", "failed"))
        told.append(_kill(site, "the worker", site.processes("worker")))
        within(LASTS, lambda: _state(job) in ("done", "failed", "cancelled"))
    job.refresh_from_db()
    after = figures(SAE.objects.for_pages().get(slug=SLUG).statistics)
    same = "same figures" if after == before else f"OTHER FIGURES: {before} {after}"
    if job.state != "done":
        same = f"NOT DONE after {LASTS} s, {_parts_done(job)} of {job.parts.count()} parts"
    remade = "; what was damaged was made again" if "made again" in (job.note or "") + str(job.__dict__) else ""
    return f"{readers}; {', '.join(told)}; the job is {job.state} {job.error}, {same}{remade}"


def redis_gone(site: Site, seconds: float) -> str:
    """kill -9 of Redis, then what is asked for meanwhile."""
    (pid,) = site.processes("redis")
    with Readers(site) as readers:
        os.kill(pid, signal.SIGKILL)
        began = time.monotonic()
        status, told, _, _ = site.ask("/health/")
        back = within(60, lambda: site.processes("redis") and json.loads(site.ask("/health/")[1])["queue"]["ok"])
        took = time.monotonic() - began
        time.sleep(2)
    first = json.loads(told)["status"] if status else "no answer"
    return f"{readers}; health said {first}, {'back' if back else 'NOT BACK'} after {took:.0f} s"


def full_disk(site: Site, seconds: float) -> str:
    """No file of the site and its workers may grow: pages are read, what is written is refused in a sentence."""

    from features.models import RunToken

    RunToken.objects.filter(name="soak").delete()
    from features.runs.intake.uploads import make_token

    bearer = {"Authorization": f"Bearer {make_token('soak', {})}"}
    said, pids = [], site.processes("site") + site.processes("worker")
    for pid in pids:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (LIMIT, resource.RLIM_INFINITY))
    try:
        with Readers(site) as readers:
            told = site.ask("/runs/upload/5/sae.pt", "PUT", b"x" * 200_000, **bearer)
            said.append(f"upload {told[0]}")
            status, sentence = _label(site, "while it was full")
            said.append(f"label {status} {sentence}")
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    status, _ = _label(site, "with room again")
    told = site.ask("/runs/upload/5/sae.pt", "PUT", b"x" * 200_000, **bearer)
    RunToken.objects.filter(name="soak").delete()
    return f"{readers}; full: {'; '.join(said)}; with room: upload {told[0]}, label {status}"


def figures(statistics) -> tuple:
    """Of a set as a whole, to the last digit, and of some features."""
    rows = (
        statistics.features.filter(index__lt=40).order_by("index").values_list("index", "count", "maximum", "density")
    )
    return statistics.l0, statistics.explained_variance, statistics.loss_reconstructed, statistics.dead, tuple(rows)


def _label(site: Site, text: str) -> tuple[int, str]:
    """Of a feature, as its page sends it: (status, what was said against it)."""
    address = f"/saes/{SLUG}/labels/7.json"
    _, told, _, headers = site.ask(address, Accept="application/json")
    known = json.loads(told)
    body = json.dumps({"changes": {"label": text}, "revision": known["own"]["revision"]})
    cookie = next((value for name, value in headers.items() if name.lower() == "set-cookie"), "").split(";")[0]
    given = {"Content-Type": "application/json", "Accept": "application/json", "X-CSRFToken": known.get("csrf", "")}
    status, told, _, _ = site.ask(address, "POST", body, Cookie=cookie, **given)
    with suppress(ValueError):
        return status, json.loads(told).get("error", "")
    return status, told[:200].decode(errors="replace")


def _kill(site: Site, what: str, pids: list[int]) -> str:
    killed = 0
    for pid in pids:
        if site.is_mine(pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed += 1
    return f"{what} killed ({killed})"


def _computing(site: Site) -> list[int]:
    """Workers that another worker has begun."""
    workers = site.processes("worker")
    parents = {pid: int(Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()[1]) for pid in workers}
    return [pid for pid, parent in parents.items() if parent in workers]


def _damage(site: Site, job) -> str:
    """A byte in the middle of the largest file of a part that is done."""
    files = [path for path in (site.data / "shards").glob(f"{job.pk}-*/shard-*/*") if path.is_file()]
    if not files:
        return "nothing to damage"
    file = max(files, key=lambda path: path.stat().st_size)
    with file.open("r+b") as opened:
        opened.seek(file.stat().st_size // 2)
        byte = opened.read(1)
        opened.seek(-1, os.SEEK_CUR)
        opened.write(bytes([byte[0] ^ 0xFF]))
    return f"{file.parent.name}/{file.name} damaged"


def _parts_done(job) -> int:
    return job.parts.filter(state="done").count()


def _state(job) -> str:
    job.refresh_from_db()
    time.sleep(0.5)
    return job.state
