"""Pages of training runs: which there are, how one goes, what a checkpoint is like, and a feature through them."""

from pathlib import Path

from django.core.paginator import Paginator
from django.db.models import Count, F, Q
from django.http import Http404, HttpResponseForbidden, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from ..jobs.views import STAFF_ONLY, may_compute
from ..messages import BadRequest, sentence, size
from ..models import SAE, Checkpoint, Run, Watch
from . import checkpoint_health, history, lists, panels, records, trainer_log, warnings
from .claims import held
from .claims import history as claims
from .intake import fixed_rows, uploads
from .intake.identity import differences

PER_PAGE = 100
MOST_CLAIMS = 300  # that a run's page lists
MOST_FAILED = 20  # files that were not read, of each watch


@require_safe
def runs(request):
    """All runs, by the folder that they were found in; those of one place beside each other as a sweep."""
    every = _with_last()
    watches = [_watch(watch, [run for run in every if run.watch_id == watch.pk]) for watch in _counted_watches()]
    data = {"sweep": history.sweep([(run, run.last) for run in every])}
    return render(request, "runs/runs.html", {"watches": watches, "data": data, "here": "runs"})


def _with_last() -> list[Run]:
    """All runs, counted, each with its last checkpoint (`last`, None where none has figures)."""
    every = list(Run.objects.counted())
    last = {each.run_id: each for each in Checkpoint.objects.newest_of_each(Run.objects.all())}
    for run in every:
        if (found := last.get(run.pk)) is not None:
            found.run = run
        run.last = found
    return every


def _counted_watches():
    """With how many checkpoints of no run were not read (`failed`) and how many wait (`waiting`)."""
    of_no_run = Q(checkpoints__run=None)
    failed, waiting = (Q(checkpoints__state__in=states) for states in (Checkpoint.ENDED_EARLY, Checkpoint.UNFINISHED))
    counts = {"failed": failed & of_no_run, "waiting": waiting & of_no_run}
    counted = Watch.objects.annotate(**{name: Count("checkpoints", filter=of) for name, of in counts.items()})
    return counted.order_by("created")


def _watch(watch: Watch, own: list[Run]) -> dict:
    """What the page of all runs says of a watch that is counted, and of its runs."""
    said = differences(own)
    for run in own:
        run.differs = said[run.pk]
    failed = watch.checkpoints.filter(state__in=Checkpoint.ENDED_EARLY, run=None).only("path", "error")
    return {"watch": watch, "runs": own, "failed": failed[:MOST_FAILED] if watch.failed else []}


@require_safe
def run(request, slug):
    run = _run_or_404(slug)
    beside = [slug for slug in request.GET.get("with", "").split(",") if slug]
    others = [_run_or_404(slug) for slug in beside[:7]]
    checkpoints = list(run.checkpoints.select_related("sae").order_by(F("step").asc(nulls_last=True), "appeared", "pk"))
    measured = [each for each in checkpoints if each.measured and each.same_as_id is None]
    for each in checkpoints:
        each.run = run
    there = {each.pk for each in checkpoints}
    checkpoints += [each for each in warnings.unread(run) if each.pk not in there]
    checkpoints.sort(key=lambda each: (each.step is None, each.step or 0))
    claimed = claims.through(run, measured)
    context = {
        "run": run,
        "checkpoints": checkpoints,
        "kept": {each.pk for each in panels.chosen(run, [each for each in measured if each.state == "done"])},
        "warnings": warnings.of_run(run, measured),
        "takes": size(records.bytes_of(run)),
        "kept_rows": size(fixed_rows.kept_of(run.rows)),
        "choices": Run.objects.exclude(pk__in=[run.pk, *(other.pk for other in others)]),
        "with": ",".join(other.slug for other in others),
        "may_compute": may_compute(request.user),
        "newest": next((each for each in reversed(measured) if each.sae), None),
        "beside": _dictionaries(run, others),
        "untested": len(held.untested(run)) if claimed else 0,
        "claimed": claimed[:MOST_CLAIMS],
        "claims": {state: sum(each.state == state for each in claimed) for state in claims.ORDER},
        "data": {"runs": [history.charts(run, measured), *map(history.charts, others)]}
        | {"claims": claims.counted(claimed, measured)},
        "settings": sorted(run.config.items()),
        "in_work": next((each for each in checkpoints if each.state == "running"), None),
    }
    return render(request, "runs/run.html", context | {"here": "runs"})


@require_safe
def run_json(request, slug):
    run = _run_or_404(slug)
    claimed = [each.to_dict() for each in claims.through(run, list(run.in_order()))]
    return JsonResponse(history.charts(run) | {"claims": claimed})


@require_safe
def log_json(request, slug):
    """Curves that the trainer's own logs have; or one of them, `file` and `name`, over the run's steps."""
    run = _run_or_404(slug)
    file, name = request.GET.get("file"), request.GET.get("name")
    if file is None or name is None:
        return JsonResponse({"logs": trainer_log.listed(run)})
    last = run.in_order().exclude(step=None).last()
    found = trainer_log.curve(run, file, name, last and last.step, last.unit if last else "steps")
    return JsonResponse(found or {"error": f"No log here has a curve “{name}”."}, status=200 if found else 404)


@require_safe
def checkpoint(request, slug, id):
    """Health of one moment, and the features of one of its lists."""
    found = _checkpoint_or_404(slug, id)
    before, after = _beside(found)
    try:
        chosen = _chosen(found, request.GET)
    except (BadRequest, ValueError, TypeError) as refusal:
        raise Http404(str(refusal)) from refusal
    page = chosen and Paginator(chosen.indices, PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "run": found.run,
        "checkpoint": found,
        "before": before,
        "after": after,
        "figures": checkpoint_health.figures(found),
        "counts": checkpoint_health.counts(found),
        "warnings": warnings.of_checkpoint(found.run, before, found) if found.figures and not found.first_look else [],
        "claims": list(claims.at(found)),
        "chosen": chosen,
        "page": page,
        "rows": page and _rows(found, chosen, page),
        "query": _query(request.GET),
        "may_compute": may_compute(request.user),
        "data": {"histograms": checkpoint_health.histograms(found)},
    }
    return render(request, "runs/checkpoint.html", context | {"here": "runs"})


@require_safe
def training_json(request, slug, index):
    """A feature through the run that its SAE is a moment of."""
    sae = get_object_or_404(SAE, slug=slug)
    moment = history.checkpoint_of(sae)
    if moment is None or not 0 <= index < sae.d_sae or not records.having([moment]):
        return JsonResponse({"error": f"{sae} has no figures over a training run."}, status=404)
    found = history.feature_history(moment, index)
    every = list(records.with_records(moment.run))
    return JsonResponse(found | {"claims": [each.to_dict() for each in claims.through(moment.run, every, index)]})


@require_POST
def star(request, slug, id):
    """Keep the panels of a checkpoint, made now where they are not there; or no longer."""
    if not may_compute(request.user):
        return HttpResponseForbidden(STAFF_ONLY)
    found = _checkpoint_or_404(slug, id)
    panels.star(found, not found.starred)
    return redirect(found)


@require_POST
def test_claims(request, slug):
    """Have the checkpoints read again at which claims were not tested."""
    if not may_compute(request.user):
        return HttpResponseForbidden(STAFF_ONLY)
    found = _run_or_404(slug)
    held.test_again(found)
    return redirect(f"{found.get_absolute_url()}#claims")


@csrf_exempt
@require_http_methods(["PUT", "POST"])
def upload(request, step, name=None):
    """A file of a checkpoint (PUT), or that all of them are there (POST); with a run's token."""
    try:
        token = uploads.token_of(request.headers.get("Authorization", ""))
        if name is not None and request.method == "PUT":
            uploads.receive(token, step, name, request)
            return JsonResponse({"taken": name})
        if name is None and request.method == "POST":
            return JsonResponse({"said": uploads.finish(token, step)})
        raise uploads.CheckpointRefused("PUT sends a file to STEP/NAME, POST to STEP/ says that all have come.", 405)
    except uploads.CheckpointRefused as refusal:
        return JsonResponse({"error": str(refusal)}, status=refusal.status)
    except (TimeoutError, ConnectionError) as error:
        return JsonResponse({"error": f"It did not come whole: {error or 'silence'}. Send it again."}, status=408)
    except OSError as error:
        length, folder = int(request.META.get("CONTENT_LENGTH") or 0), Path(token.watch.path)
        told = sentence(error, needed=length, folder=folder)
        return JsonResponse({"error": f"{told} The file was not kept: send it again then."}, status=507)


def _run_or_404(slug: str) -> Run:
    found = Run.objects.select_related("rows", "corpus", "watch").filter(slug=slug).first()
    if found is None:
        known = ", ".join(Run.objects.values_list("slug", flat=True)[:20]) or "none yet"
        raise Http404(f"There is no run “{slug}” here. Known: {known}.")
    return found


def _checkpoint_or_404(slug: str, id: int) -> Checkpoint:
    related = ("run__rows", "run__watch", "sae__statistics", "same_as__run")
    return get_object_or_404(Checkpoint.objects.select_related(*related), run__slug=slug, pk=id)


def _dictionaries(run: Run, others: list[Run]) -> list[dict]:
    """Pages of this run's newest dictionary beside those of others at the same place."""
    newest = {each.pk: each.in_order().exclude(sae=None).select_related("sae").last() for each in (run, *others)}
    own = newest[run.pk]
    return [
        {"name": other.name, "url": f"{reverse('features:dictionaries', args=[own.sae.slug])}?other={its.sae.slug}"}
        for other in others
        if own and (its := newest[other.pk]) and not own.sae.not_comparable(its.sae)
    ]


def _beside(found: Checkpoint) -> tuple[Checkpoint | None, Checkpoint | None]:
    every = list(found.run.in_order().values_list("pk", flat=True))
    if found.pk not in every:
        return None, None
    at = every.index(found.pk)
    near = Checkpoint.objects.select_related("run").in_bulk([*every[max(0, at - 1) : at], *every[at + 1 : at + 2]])
    return tuple(near.get(every[n]) if 0 <= n < len(every) else None for n in (at - 1, at + 1))


def _chosen(found: Checkpoint, query) -> lists.FeatureRows | None:
    """The list that an address asks for: by its name, or by a bar."""
    name = query.get("list")
    if not name or found.same_as_id or not records.having([found]):
        return None  # of the same weights under another name, lists stand there
    low, high = (float(query[side]) if query.get(side) else None for side in ("low", "high"))
    if name in lists.RANGES and None in (low, high):
        raise BadRequest(f"The list “{name}” needs a range: ?list={name}&low=...&high=...")
    return lists.features_in(found, name, low, high)


def _rows(found: Checkpoint, chosen: lists.FeatureRows, page) -> list[dict]:
    """What the table shows of each feature, and where it is read."""
    sae = _readable(found)
    return [
        {
            "index": int(index),
            "url": sae.feature_url(int(index)) if sae else None,
            "count": int(chosen.counts[index]),
            "density": chosen.counts[index] / max(1, chosen.tokens),
            **{name: float(chosen.records[name][index]) for name in ("maximum", "mean", "before", "nearest")},
        }
        for index in page
    ]


def _readable(found: Checkpoint) -> SAE | None:
    """The SAE whose panels show a feature: this checkpoint's, else that of the nearest one that has panels."""
    if found.sae and found.sae.statistics_id:
        return found.sae
    every = list(found.run.in_order().defer("figures").select_related("sae"))
    at = next((n for n, each in enumerate(every) if each.pk == found.pk), 0)
    having = [(abs(n - at), each.sae) for n, each in enumerate(every) if each.sae and each.sae.statistics_id]
    if having:
        return min(having, key=lambda pair: pair[0])[1]
    return found.sae or next((each.sae for each in reversed(every) if each.sae), None)


def _query(query) -> str:
    """An address's list without its page."""
    kept = query.copy()
    kept.pop("page", None)
    return kept.urlencode()
