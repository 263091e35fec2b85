"""What has appeared in watched folders? Files are looked at by name, size and time; a worker reads what is whole."""

import logging
import math
import time
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

from django.db import IntegrityError
from django.utils import timezone

from ...jobs import lifecycle
from ...models import Checkpoint, Watch
from . import discovery

log = logging.getLogger(__name__)

SETTLED = 5.0  # seconds since files were written after which they count as whole at once; sooner, after two equal looks
MOST_OF_A_RUN = 200  # checkpoints read of one run where nobody says how many
# Times as long as a look took until the next: a folder of thousands of files is not looked at all the time.
AT_REST = 20

_seen: dict[int, dict[str, str]] = {}  # of each watch the signatures of the last look, in this process
_due: dict[int, float] = {}


def look_at_all() -> None:
    """Every folder that is due. Nothing but the database is raised."""
    for watch in Watch.objects.filter(ended=False):
        if time.monotonic() < _due.get(watch.pk, 0):
            continue
        began = time.monotonic()
        look(watch)
        _due[watch.pk] = time.monotonic() + AT_REST * (time.monotonic() - began)


def look(watch: Watch) -> list[Checkpoint]:
    """Queue what has appeared and is whole; the rows of it. What stands in the way is written into the watch."""
    root = Path(watch.path)
    try:
        found, problems = discovery.find(root)
    except OSError as error:
        reason = error.strerror or str(error)
        _say(
            watch,
            problem=f"{root} cannot be read: {reason}. What was read of it stays; bring the folder back, or end "
            "the watch.",
        )
        return []
    known = defaultdict(dict)  # path -> signature -> state
    for path, signature, state in watch.checkpoints.values_list("path", "signature", "state"):
        known[path][signature] = state
    whole = [each for each in found if each.signature not in known[str(each.path)] and _is_whole(watch, each)]
    _seen[watch.pk] = {str(each.path): each.signature for each in found}
    taken, left_out = _thinned(watch, whole, found, known)
    checkpoints = [_row(watch, each, root) for each in taken]
    try:
        lifecycle.enqueue_all(checkpoints)
    except IntegrityError:  # another process looked at the same time, and has queued them
        return []
    _say(watch, problem=" ".join(problems[:5]), note=left_out)
    return checkpoints


def _is_whole(watch: Watch, found: discovery.Found) -> bool:
    """Whether nobody seems to write it: for some seconds, or between two looks."""
    if time.time() - found.modified >= SETTLED:
        return True
    return _seen.get(watch.pk, {}).get(str(found.path)) == found.signature


def _thinned(watch: Watch, whole, found, known) -> tuple[list[discovery.Found], str]:
    """Those of `whole` that the rule takes, and a sentence of what it leaves out."""
    root, of_runs = Path(watch.path), defaultdict(list)
    for each in found:
        of_runs[discovery.run_folder(each.path, root)].append(each)
    new, taken, out = {id(each) for each in whole}, [], []
    for folder, members in of_runs.items():
        members.sort(key=lambda each: _in_training(each, root))
        every = watch.every or math.ceil(len(members) / MOST_OF_A_RUN)
        chosen = {id(members[0]), id(members[-1]), *map(id, members[::every])}
        chosen |= {id(each) for each in members if discovery.named_step(each.path, root) is None}
        taken += [each for each in members if id(each) in chosen & new]
        if len(chosen) < len(members):
            out.append(f"{folder.name}: {len(chosen):,} of {len(members):,}")
    if not out:
        return taken, ""
    return taken, (
        f"Not every checkpoint is read, but the first, the last and every so manieth ({'; '.join(out[:5])}). "
        "manage.py watch DIR --every 1 reads them all."
    )


def _in_training(found: discovery.Found, root: Path) -> tuple:
    step = discovery.named_step(found.path, root)
    return (step is None, step.step if step else 0, found.modified)


def _row(watch: Watch, found: discovery.Found, root: Path) -> Checkpoint:
    step = discovery.named_step(found.path, root)  # what its configs say is found when it is read
    return Checkpoint(
        watch=watch,
        path=str(found.path),
        signature=found.signature,
        appeared=datetime.fromtimestamp(found.modified, UTC),
        step=step and min(step.step, 2**62),
        requested_how="watch",
        requested_by=watch.requested_by,
    )


def _say(watch: Watch, problem: str, note: str | None = None) -> None:
    changes = {"looked": timezone.now(), "problem": problem} | ({} if note is None else {"note": note})
    Watch.objects.filter(pk=watch.pk).update(**changes)
    if problem and problem != watch.problem:
        log.warning("%s", problem)
