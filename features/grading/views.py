"""Which sample is drawn, graded, left, taken up again, told and taken away?"""

import csv
import io
import json
from random import SystemRandom

from django.contrib import messages
from django.http import HttpResponse, HttpResponseForbidden, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from ..browse.views import sae_or_404
from ..jobs.views import STAFF_ONLY, may_compute
from ..judge import keep
from ..judge.reader import NOT_SIGNED_IN, reader_of, sign_in
from ..messages import BadRequest
from ..models import SAE, Checkpoint, GradingAnswer, GradingDraw, GradingSample, Judgement
from . import controls, panel, results
from .intruder import CHANCE
from .sample import LEAST, MOST, STRATA, draw

SIZE, CONTROLS = 40, 20  # features, and of each control, unless others are asked for
MOST_SAES = 10


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def gradings(request, slug):
    """Those of an SAE; a POST draws one, or has a worker draw it where controls are asked for."""
    sae, reader = sae_or_404(slug), reader_of(request)
    if request.method == "POST":
        if reader is None:
            return HttpResponseForbidden(NOT_SIGNED_IN)
        try:
            found = _drawn(request, sae, reader)
            if isinstance(found, GradingSample):
                return redirect("features:grading", found.key)
        except (BadRequest, ValueError, OSError) as problem:
            messages.error(request, str(problem))
        return redirect("features:gradings", slug)
    named = GradingSample.objects.naming(sae.checkpoint_hash).counted(reader.name if reader else None)
    samples = [sample for sample in named if _is_of(sample, sae)]
    context = {"sae": sae, "here": "grading", "reader": reader, "samples": samples, "others": _others(sae)}
    context |= {"size": SIZE, "least": LEAST, "most": MOST, "sign_in": sign_in(request.path)}
    context |= {"kinds": controls.KINDS, "controls": CONTROLS, "most_controls": controls.MOST}
    newest = sae.grading_draws.newest_first().first()
    context |= {"drawing": newest if newest and newest.state != newest.State.DONE else None}
    return render(request, "grading/gradings.html", context | {"may_compute": may_compute(request.user)})


def _others(sae: SAE) -> list[SAE]:
    """What it can be mixed with: those with statistics, first the checkpoints of its run, in order of training."""
    runs = set(sae.checkpoints.exclude(run=None).values_list("run", flat=True))
    others = list(SAE.objects.exclude(pk=sae.pk).exclude(statistics=None))
    moments = Checkpoint.objects.filter(sae__in=others, same_as=None).exclude(run=None).select_related("run")
    of = {moment.sae_id: moment for moment in moments}
    for other in others:
        moment = of.get(other.pk)
        other.of_run = moment is not None and moment.run_id in runs
        other.told = f"{moment.run.name}, {moment.label}" if moment else other.name
        other.step = (moment.step or 0) if moment else 0
    return sorted(others, key=lambda other: (not other.of_run, other.step, other.name))


def _drawn(request, sae: SAE, reader) -> GradingSample | GradingDraw:
    """The sample; where a worker has to compute controls first, the drawing that it does."""
    chosen = request.POST.getlist("other")
    others = {other.slug: other for other in SAE.objects.for_pages().filter(slug__in=chosen).exclude(pk=sae.pk)}
    if missing := [slug for slug in chosen if slug and slug != sae.slug and slug not in others]:
        raise BadRequest(f"There is no SAE “{missing[0][:60]}” here.")
    saes = [sae, *others.values()]
    if len(saes) > MOST_SAES:
        raise BadRequest(f"{len(saes)} SAEs cannot be mixed; at most {MOST_SAES} can.")
    size, seed = (_whole(request.POST.get(name), name) for name in ("size", "seed"))
    size, seed = SIZE if size is None else size, SystemRandom().randrange(2**31) if seed is None else seed
    if kinds := request.POST.getlist("control"):
        if not may_compute(request.user):
            raise BadRequest(f"Controls are computed by a worker. {STAFF_ONLY}")
        count = _whole(request.POST.get("controls"), "number of controls")
        counts = dict.fromkeys(kinds, CONTROLS if count is None else count)
        return controls.request_draw(saes, size, seed, counts, reader.name, request.user)
    told, items = draw(saes, size, seed)
    name = " and ".join(one.name for one in saes)[:200]
    return GradingSample.objects.create(name=name, author=reader.name, seed=seed, saes=told, items=items)


def _whole(text: str | None, name: str) -> int | None:
    text = (text or "").strip()
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or int(text) >= 2**31:
        raise BadRequest(f"The {name} is a whole number from 0 to {2**31 - 1:,}, not {text[:20]!r}.")
    return int(text)


def _is_of(sample: GradingSample, sae: SAE) -> bool:
    return any(told["weights"] == sae.checkpoint_hash for told in sample.saes)


@never_cache
@require_safe
def grade(request, key):
    """The page that grades; it does not say what is graded."""
    sample, reader = _sample_or_404(key), reader_of(request)
    if reader is None:
        return redirect(sign_in(request.path))
    answered = set(sample.answers.filter(grader=reader.name).exclude(grade="").values_list("number", flat=True))
    first = next((at for at in range(len(sample.items)) if at not in answered), 0)
    return render(request, "grading/grade.html", {"sample": sample, "first": first, "total": len(sample.items)})


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def grade_item(request, key, number):
    """An item; a POST of {"picked": n} or {"grade": "clear"} answers it."""
    sample, reader = _sample_or_404(key), reader_of(request)
    if reader is None:
        return JsonResponse({"error": NOT_SIGNED_IN}, status=403)
    if not 0 <= number < len(sample.items):
        return JsonResponse({"error": f"This sample has items 0 to {len(sample.items) - 1}."}, status=404)
    answer = sample.answers.filter(grader=reader.name, number=number).first()
    if request.method == "POST":
        try:
            values = _answer(request, sample.items[number], answer)
        except BadRequest as problem:
            return JsonResponse({"error": str(problem)}, status=400)
        answer, _ = GradingAnswer.objects.update_or_create(
            sample=sample, grader=reader.name, number=number, defaults=values
        )
    return JsonResponse(panel.item(sample, number, answer))


def _answer(request, item: dict, before: GradingAnswer | None) -> dict:
    try:
        asked = json.loads(request.body)
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict) or len(asked) != 1:
        raise BadRequest('An answer is {"picked": 2} or {"grade": "clear"}.')
    if "grade" in asked:
        if asked["grade"] not in Judgement.Grade.values:
            raise BadRequest(f"A grade is {', '.join(Judgement.Grade.values)}.")
        return {"grade": asked["grade"]}
    lines = item["intruder"]["lines"] if item["intruder"] else []
    if type(asked.get("picked")) is not int or not 0 <= asked["picked"] < len(lines):
        raise BadRequest(f"The stranger is one of the lines 0 to {len(lines) - 1}." if lines else item["why_none"])
    if before and before.picked not in (None, asked["picked"]):
        raise BadRequest("The stranger was picked already; the panels seen since would make it another question.")
    return {"picked": asked["picked"]}


@never_cache
@require_safe
def result(request, key):
    """What came of it so far; which features they were, once all are graded."""
    sample, reader = _sample_or_404(key), reader_of(request)
    graders = list(sample.answers.values_list("grader", flat=True).distinct().order_by("grader"))
    told = [{"grader": grader, "saes": results.of_grader(sample, grader)} for grader in graders]
    own = sample.answers.filter(grader=reader.name).exclude(grade="") if reader else sample.answers.none()
    finished = own.count() == len(sample.items)
    context = {"sample": sample, "told": told, "agreement": results.agreement(sample), "chance": CHANCE}
    context |= {"finished": finished, "done": own.count(), "total": len(sample.items), "reader": reader}
    return render(request, "grading/result.html", context | {"rows": _records(sample, reader) if finished else []})


@require_POST
def to_labels(request, key):
    """Put the reader's grades on the features; those that have one from this reader keep it."""
    sample, reader = _sample_or_404(key), reader_of(request)
    if reader is None:
        return HttpResponseForbidden(NOT_SIGNED_IN)
    new = 0
    for record in _records(sample, reader):
        sae = SAE.objects.filter(checkpoint_hash=record["weights"]).first()
        if sae is None or not record["weights"] or not record["grade"]:  # a control is no feature
            continue
        own = Judgement.objects.of(sae).filter(index=record["feature"], author=reader.name, kind="person").first()
        if own is None or not own.grade:
            keep.change(sae, record["feature"], reader, {"grade": record["grade"]}, own.revision if own else 0)
            new += 1
    put = f"{new:,} grade was" if new == 1 else f"{new:,} grades were"
    messages.success(request, f"{put} put on the features; those that had one from you keep it.")
    return redirect("features:grading-result", key)


@never_cache
@require_safe
def export(request, key, form):
    """Everything said by every grader, with the features' numbers: who has not finished should not open it."""
    sample = _sample_or_404(key)
    rows = [record for grader in _graders(sample) for record in _records(sample, grader)]
    if form == "json":
        about = {"format": 1, "seed": sample.seed, "author": sample.author, "saes": sample.saes, "answers": rows}
        found = JsonResponse(about, json_dumps_params={"indent": 1})
    else:
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
        found = HttpResponse(text.getvalue(), "text/csv; charset=utf-8")
    found["Content-Disposition"] = f'attachment; filename="grading-{str(sample.key)[:8]}.{form}"'
    return found


COLUMNS = (
    "number",
    "grader",
    "sae",
    "control",
    "weights",
    "feature",
    "stratum",
    "grade",
    "picked",
    "stranger",
    "right",
)


def _graders(sample: GradingSample) -> list[str]:
    return list(sample.answers.values_list("grader", flat=True).distinct().order_by("grader"))


def _records(sample: GradingSample, grader) -> list[dict]:
    """What one grader said of each item that was answered."""
    name = getattr(grader, "name", grader)
    answers = {answer.number: answer for answer in sample.answers.filter(grader=name)}
    return [_record(sample, number, name, answer) for number, answer in sorted(answers.items())]


def _record(sample: GradingSample, number: int, grader: str, answer: GradingAnswer) -> dict:
    item = sample.items[number]
    sae, stranger = sample.saes[item["sae"]], (item["intruder"] or {}).get("stranger")
    return {
        "number": number + 1,
        "grader": grader,
        "sae": sae["slug"],
        "control": sae.get("control", ""),
        "weights": sae["weights"],
        "feature": item["index"],
        "stratum": STRATA[item["stratum"]][0],
        "grade": answer.grade,
        "picked": answer.picked,
        "stranger": stranger,
        "right": None if answer.picked is None else answer.picked == stranger,
    }


def _sample_or_404(key) -> GradingSample:
    return get_object_or_404(GradingSample, key=key)
