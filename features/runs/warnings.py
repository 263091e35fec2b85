"""Which checkpoints should somebody look at? Rules that a watch may change, held against figures that are stored."""

import http.client
import json
import logging
import threading
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db.models import Q

from ..models import Checkpoint, Run, Watch
from ..templatetags.formatting import figure, percent, with_margin
from .intake.discovery import run_folder

log = logging.getLogger(__name__)

RULES = {  # and what each is compared with; null in a watch's rules: not looked at
    "common_direction": 0.2,  # mean cosine of encoder columns, of all or of the rarest half
    "dead_share": 0.5,
    "l0_least": None,
    "l0_most": None,
    "recovered_drop": 1.0,  # below the checkpoint before by more than so many times both intervals together
    "loss_spike": 0.05,  # nats that the loss with the SAE may rise from one checkpoint to the next
    "twins_rise": 0.05,  # share of features, from one checkpoint to the next
    "unreadable": 1,  # files, NaN or infinite weights among them; null is all that changes it
}
MOST_UNREAD = 200  # checkpoints that are told as such
TIMEOUT = 5.0  # seconds that a worker waits for a webhook
LATE = "The webhook %s has not answered within %g s."


@dataclass(frozen=True)
class Warning:
    """A checkpoint that breaks a rule."""

    checkpoint: Checkpoint
    rule: str
    sentence: str

    @property
    def url(self) -> str:
        """Where it is seen: its own page, or the run's list where it could not be read."""
        run, is_read = self.checkpoint.run, self.checkpoint.measured
        return self.checkpoint.get_absolute_url() if is_read else f"{run.get_absolute_url()}#checkpoints"


def rules_of(watch: Watch) -> dict:
    """Those of the watch over the usual ones; of other names none."""
    return RULES | {name: value for name, value in watch.rules.items() if name in RULES}


def of_run(run: Run, checkpoints: list[Checkpoint]) -> list[Warning]:
    """Of checkpoints with figures, in order of training; then of those that could not be read."""
    checkpoints = [each for each in checkpoints if not each.first_look]  # fewer tokens have more dead features
    pairs = zip([None, *checkpoints], checkpoints, strict=False)
    found = [warning for before, now in pairs for warning in of_checkpoint(run, before, now)]
    return found + [_unreadable(each) for each in unread(run)]


def unread(run: Run) -> list[Checkpoint]:
    """Checkpoints of its folder whose files could not be read, unless its rules leave them out."""
    if rules_of(run.watch)["unreadable"] is None:
        return []
    failed = run.watch.checkpoints.filter(Q(run=run) | Q(run=None), state=Checkpoint.State.FAILED, measured=None)
    root, unit = Path(run.watch.path), run.checkpoints.values_list("unit", flat=True).first()
    found = [each for each in failed.order_by("step", "pk")[:MOST_UNREAD] if each.run_id or _is_of(run, each, root)]
    for each in found:
        each.run, each.unit = run, unit or each.unit
    return found


def _is_of(run: Run, checkpoint: Checkpoint, root: Path) -> bool:
    return str(run_folder(Path(checkpoint.path), root)) == run.folder


def _unreadable(checkpoint: Checkpoint) -> Warning:
    return Warning(checkpoint, "unreadable", f"could not be read: {checkpoint.error}")


def of_checkpoint(run: Run, before: Checkpoint | None, now: Checkpoint) -> list[Warning]:
    """Of one, and what has become worse since the one before, where that is read whole."""
    before = None if before and before.first_look else before
    return [Warning(now, rule, sentence) for rule, sentence in _broken(rules_of(run.watch), run, before, now)]


def _broken(rules: dict, run: Run, before: Checkpoint | None, now: Checkpoint):
    """(rule, sentence) of each that it breaks."""
    figures, health = now.figures, now.figures.get("health") or {}
    direction = max((health.get(n) or 0 for n in ("common_direction", "common_direction_rarest")), default=0)
    if (most := rules["common_direction"]) is not None and direction > most:
        yield (
            "common_direction",
            f"features share one encoder direction: mean cosine {figure(direction, 2)}, above {most:g}",
        )
    dead = figures.get("dead", 0) / run.d_sae
    if (most := rules["dead_share"]) is not None and dead > most:
        yield "dead_share", f"{percent(dead)} of features are dead, above {percent(most)}"
    l0 = figures.get("l0")
    if l0 is not None and (least := rules["l0_least"]) is not None and l0 < least:
        yield "l0_least", f"L0 is {figure(l0, 3)}, below {least:g}"
    if l0 is not None and (most := rules["l0_most"]) is not None and l0 > most:
        yield "l0_most", f"L0 is {figure(l0, 3)}, above {most:g}"
    if before:
        yield from _worse(rules, run, before.figures, figures)


def _worse(rules: dict, run: Run, before: dict, now: dict):
    """What has become worse since the checkpoint before."""
    recovered, margins = _both(before, now, "loss_recovered"), _both(before, now, "loss_recovered_margin")
    if rules["recovered_drop"] is not None and recovered and margins:
        together = rules["recovered_drop"] * sum(margins)
        if recovered[0] - recovered[1] > together:
            was, is_ = (with_margin(100 * v, 100 * m or 0.1) for v, m in zip(recovered, margins, strict=True))
            yield "recovered_drop", f"loss recovered fell from {was} to {is_} %, by more than both intervals"
    losses = _both(before, now, "loss_reconstructed")
    if (most := rules["loss_spike"]) is not None and losses and losses[1] - losses[0] > most:
        yield "loss_spike", f"the loss with the SAE rose from {figure(losses[0])} to {figure(losses[1])} nats"
    twins = _both(before, now, "twins")
    if (most := rules["twins_rise"]) is not None and twins and (twins[1] - twins[0]) / run.d_sae > most:
        yield "twins_rise", f"features with a near-twin rose from {twins[0]:,} to {twins[1]:,} of {run.d_sae:,}"


def _both(before: dict, now: dict, name: str) -> tuple | None:
    values = before.get(name), now.get(name)
    return None if None in values else values


def tell(checkpoint: Checkpoint) -> None:
    """Where a webhook is configured, what this checkpoint breaks, once its figures are known. Nothing is raised."""
    address = settings.SAEVIZ_WEBHOOK
    if not address:
        return
    every = list(checkpoint.run.in_order())
    at = next((n for n, each in enumerate(every) if each.pk == checkpoint.pk), None)
    if at is None:
        return
    found = of_checkpoint(checkpoint.run, every[at - 1] if at else None, checkpoint)
    if found:
        _send(address, checkpoint, found)


def tell_unread(checkpoint: Checkpoint, reason: str) -> None:
    """The same of one whose files could not be read, `reason` says why: to the runs of its folder."""
    if not settings.SAEVIZ_WEBHOOK:
        return
    for run in checkpoint.watch.runs.all():
        if (
            _is_of(run, checkpoint, Path(checkpoint.watch.path))
            and rules_of(checkpoint.watch)["unreadable"] is not None
        ):
            checkpoint.run, checkpoint.error = run, reason
            _send(settings.SAEVIZ_WEBHOOK, checkpoint, [_unreadable(checkpoint)])


def _send(address: str, checkpoint: Checkpoint, found: list[Warning]) -> None:
    told = {"run": checkpoint.run.slug, "checkpoint": checkpoint.label, "warnings": [each.sentence for each in found]}
    # A timeout is of one read: a server that answers drop by drop is left to its thread.
    thread = threading.Thread(target=_post, args=(address, json.dumps(told).encode()), name="webhook", daemon=True)
    thread.start()
    thread.join(TIMEOUT)
    if thread.is_alive():
        log.warning(LATE, address, TIMEOUT)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The address that is configured hears, and no other that it names."""

    def redirect_request(self, *_):
        return None


def _post(address: str, body: bytes) -> None:
    try:
        request = urllib.request.Request(address, body, {"Content-Type": "application/json"}, method="POST")
        urllib.request.build_opener(_NoRedirect).open(request, timeout=TIMEOUT).close()
    except TimeoutError:  # while the answer is read; both clocks run as long, and either may be first
        log.warning(LATE, address, TIMEOUT)
    except (OSError, ValueError, http.client.HTTPException) as error:
        log.warning("The webhook %s was not reached: %s", address, error)
